"""Runs trials one after the other: one now, and one whenever a file changes.

Each is a separate process, forked from a server that has already imported Beam and torch.
"""

from __future__ import annotations

import glob
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_POLL_SEC = 0.2
_SETTLE_SEC = 0.1
_SKIPPED = ("__pycache__", "node_modules", "site-packages")

Snapshot = dict[str, tuple[int, int]]


def watch(flags: Sequence[str], rows: int, *, inputs: Sequence[str]) -> int:
    """Try some rows whenever a module in this folder or one of ``inputs`` changes.

    Blocks until Ctrl-C; returns the exit status.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["template.trial.run"])
    try:
        while True:
            seen = take_snapshot(inputs)
            trial = context.Process(target=_try, args=(list(flags), rows), daemon=True)
            trial.start()
            _wait_for_change(seen, inputs, trial)
            trial.kill()  # one that hangs, or is out of date before it ends
            trial.join()
            print(f"\n{'-' * 60}", flush=True)
    except KeyboardInterrupt:
        return 0


def _try(flags: Sequence[str], rows: int) -> None:
    from template.trial.run import try_rows

    sys.exit(try_rows(flags, rows))


def _wait_for_change(
    seen: Snapshot, inputs: Sequence[str], trial: multiprocessing.process.BaseProcess
) -> None:
    is_told = False
    while take_snapshot(inputs) == seen:
        if not is_told and not trial.is_alive():
            print(f"\nwatching {len(seen)} files; Ctrl-C ends", flush=True)
            is_told = True
        time.sleep(_POLL_SEC)
    while (now := take_snapshot(inputs)) != seen:  # until an editor has written all of it
        seen = now
        time.sleep(_SETTLE_SEC)


def take_snapshot(inputs: Sequence[str]) -> Snapshot:
    """Return time and size of the modules below this folder and of the local inputs."""
    snapshot = {}
    for path in (*_find_modules(), *(path for each in inputs for path in glob.glob(each))):  # noqa: PTH207
        try:
            status = Path(path).stat()
        except OSError:
            continue  # it has just been removed
        snapshot[str(path)] = (status.st_mtime_ns, status.st_size)
    return snapshot


def _find_modules() -> Iterator[str]:
    for folder, folders, files in os.walk("."):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED
            and not Path(folder, name, "pyvenv.cfg").exists()
        ]
        yield from (os.path.join(folder, name) for name in files if name.endswith(".py"))  # noqa: PTH118
