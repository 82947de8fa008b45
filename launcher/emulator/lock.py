"""The lock of an emulator's folder, which identifies the process that serves it.

A POSIX record lock: it ends with its holder, no child inherits it, and the system itself names the
holder (fcntl(2), F_GETLK), so no other process is ever signalled. Opening and closing the file
in the holder would release it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from launcher.emulator.instance import EmulatorError, EmulatorOptionError, open_private

_LINUX = sys.platform == "linux"
# struct flock: type, whence, start, length, pid; on macOS start, length, pid, type, whence.
_FLOCK = struct.Struct("hhqqi") if _LINUX else struct.Struct("qqihh")


def is_data_dir(folder: Path) -> bool:
    """Report whether an emulator has served a folder."""
    return _lock_file(folder).exists()


@contextlib.contextmanager
def hold_lock(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock while the context lasts; yield False if another process holds it."""
    try:
        opened = open_private(_lock_file(folder))
    except OSError as error:
        raise EmulatorOptionError(
            f"--data-dir {folder}: cannot be written ({error.strerror})"
        ) from error
    with opened as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # POSIX allows either
            yield False
        else:
            yield True


def find_holder(folder: Path) -> int | None:
    """Return the process that holds the folder's lock, or None; takes no lock itself.

    Raises:
        EmulatorError: the file cannot be read, or the holder is in another container.
    """
    try:
        with _lock_file(folder).open("rb") as file:
            answer = fcntl.fcntl(file, fcntl.F_GETLK, _pack(fcntl.F_RDLCK))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise EmulatorError(
            f"{_lock_file(folder)} cannot be read ({error.strerror}): is this folder another "
            "user's?"
        ) from error
    type_, pid = _unpack(answer)
    if type_ == fcntl.F_UNLCK:
        return None
    if pid <= 0:
        raise EmulatorError(
            f"the local Dataflow of {folder} runs in another container; stop it there"
        )
    return pid


def send_signal(folder: Path, pid: int, number: signal.Signals) -> None:
    """Signal the process that holds the folder's lock, if it still does.

    Raises:
        EmulatorError: it is another user's.
    """
    try:
        if _LINUX:
            # A descriptor identifies one process, but a process id may be reused at any moment.
            descriptor = os.pidfd_open(pid)
            try:
                if find_holder(folder) == pid:
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)
        elif find_holder(folder) == pid:
            os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise EmulatorError(
            f"process {pid}, which serves {folder}, is another user's; stop it as that user"
        ) from error


def _lock_file(folder: Path) -> Path:
    return folder / "emulator.lock"


def _pack(type_: int) -> bytes:
    if _LINUX:
        return _FLOCK.pack(type_, os.SEEK_SET, 0, 0, 0)
    return _FLOCK.pack(0, 0, 0, type_, os.SEEK_SET)


def _unpack(record: bytes) -> tuple[int, int]:
    """Return the lock's type and process id."""
    fields = _FLOCK.unpack(record)
    return (fields[0], fields[4]) if _LINUX else (fields[3], fields[2])
