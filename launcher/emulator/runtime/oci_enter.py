"""Becomes a program inside an image's files.

The scripts that ``oci`` writes run it as ``python -I -S oci_enter.py ENTRY.json ARGUMENTS...``. It
uses its own mount namespace, so its mounts end with it, and remains the same process, so its parent
can wait for it and kill it. Standard library only: it runs before every child.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

RUN_DIR_VARIABLE = "FLEXPACK_RUN_DIR"
"""Variable that names a folder to be shown at the same path inside; not passed on."""

_SYSTEM = ("/proc", "/sys", "/dev", "/etc/hosts", "/etc/resolv.conf")
# Where Dataflow mounts the GPU's driver.
_DRIVER = "/usr/local/nvidia"

# From sched.h and mount.h.
_CLONE_NEWNS = 0x00020000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SLAVE = 0x80000


@dataclass(frozen=True)
class Entry:
    """How to enter an image.

    Attributes:
        root: its files.
        workdir: its working directory, as a path inside.
        program: the program to run, as a path inside.
        binds: folders of this machine that appear at the same path inside.
    """

    root: str
    workdir: str
    program: str
    binds: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def main(arguments: Sequence[str]) -> NoReturn:
    entry = Entry(**json.loads(Path(arguments[0]).read_text()))
    environment = dict(os.environ)
    run_dir = environment.pop(RUN_DIR_VARIABLE, None)
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.unshare(_CLONE_NEWNS), "unshare")
    # Mounts made here must not be visible outside.
    _checked(libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None), "mount /")
    for path in (*_SYSTEM, _DRIVER, *entry.binds, *([run_dir] if run_dir else [])):
        source = Path(path)
        if source.exists():
            target = Path(entry.root + path)
            _make_like(source, target)
            flags = _MS_BIND | _MS_REC
            result = libc.mount(os.fsencode(source), os.fsencode(target), None, flags, None)
            _checked(result, f"mount {path}")
    os.chroot(entry.root)
    os.chdir(entry.workdir)
    os.execve(entry.program, [entry.program, *arguments[1:]], environment)  # noqa: S606


def _make_like(source: Path, target: Path) -> None:
    """Make a mount point."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
