"""One side of a comparison: a program in its own process, and the resources it uses.

The program prints ``ready`` before each measured part and ``done`` after it. Each time it waits for
a line on its standard input, so that nothing runs while figures are recorded. Its other output is
ignored.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from tests.bench.process_tree import ProcessTree

READY, DONE = "ready", "done"
_TIMEOUT_SEC = 1800
_LAST_CHARACTERS = 4000
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

Figures = dict[str, float]


class SideFailedError(Exception):
    """A side ended with an error status, or before it had finished its parts."""


def run_parts(parts: Iterable[Callable[[], object]]) -> None:
    """Run the measured parts, in the process of a side."""
    for part in parts:
        _wait(READY)
        part()
        _wait(DONE)


def _wait(word: str) -> None:
    print(word, flush=True)
    sys.stdin.readline()


def measure(
    command: Sequence[str], *, cores: int = 1, timeout_sec: float = _TIMEOUT_SEC
) -> list[Figures]:
    """Run a side on ``cores`` cores and return the figures of its parts; blocks.

    Returns:
        ``cpu_sec`` and ``wall_sec`` of each part; ``startup_cpu_sec``, until the first part, and
        ``peak_mib``, of all processes together until the part was done.

    Raises:
        SideFailedError: it failed, or took longer than ``timeout_sec``.
    """
    with ProcessTree() as tree, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **_ONE_THREAD},
        )
        os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[:cores])
        limit = threading.Timer(timeout_sec, tree.end)
        limit.daemon = True
        limit.start()
        try:
            figures = list(_follow(process, tree))
        finally:
            limit.cancel()
        status = process.wait()
        if status or not figures:
            errors.seek(0)
            said = errors.read()[-_LAST_CHARACTERS:]
            raise SideFailedError(f"{' '.join(command)} ended with status {status}:\n{said}")
        return figures


def _follow(process: subprocess.Popen[str], tree: ProcessTree) -> Iterable[Figures]:
    assert process.stdin is not None
    assert process.stdout is not None
    startup = cpu = began = 0.0
    for line in process.stdout:
        word = line.strip()
        if word == READY:
            cpu, began = tree.cpu_sec(), time.monotonic()
            startup = startup or cpu
        elif word == DONE:
            wall = time.monotonic() - began
            yield {
                "cpu_sec": tree.cpu_sec() - cpu,
                "wall_sec": wall,
                "startup_cpu_sec": startup,
                "peak_mib": tree.peak_mib,
            }
        else:
            continue
        process.stdin.write("\n")
        process.stdin.flush()
