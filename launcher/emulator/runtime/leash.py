"""The leash: runs one command, and makes sure that neither it nor its children are left behind.

Run as ``python -I -S leash.py FD COMMAND...`` by ``processes``, which holds the other end of the
pipe FD; the warm parent calls ``hold`` in a process that it forked. The command gets its own
session, and therefore its own process group. The whole group is killed when the command itself ends
and when the pipe closes, which the kernel ensures even if the emulator dies by kill -9. The leash
exits with the command's status, 128 + N for signal N. On Linux the kernel kills the command if the
leash is killed. Imports little, and only from the standard library: it runs before every child.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

GRACE_SEC = 0.3
"""Between SIGTERM and SIGKILL."""
_PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def main(arguments: list[str]) -> int:
    pipe, command = int(arguments[0]), arguments[1:]
    return hold(pipe, lambda: _replace_by(command))


def hold(pipe: int, play: Callable[[], None]) -> int:
    """Run ``play``, which does not return, in a child of this process; return its status."""
    leash = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(pipe)
        os.setsid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != leash:
                os._exit(128 + signal.SIGKILL)
        play()
    signal.signal(signal.SIGTERM, lambda *_: _end_group(child))
    threading.Thread(target=_end_group_when_closed, args=(pipe, child), daemon=True).start()
    _, status = os.waitpid(child, 0)
    _signal_group(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _replace_by(command: list[str]) -> None:
    try:
        os.execv(command[0], command)  # noqa: S606 - the command is the point
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
        os._exit(127)


def _end_group_when_closed(pipe: int, child: int) -> None:
    os.read(pipe, 1)  # Nothing is ever written: this returns when the other end closes.
    _end_group(child)


def _end_group(child: int) -> None:
    _signal_group(child, signal.SIGTERM)
    time.sleep(GRACE_SEC)
    _signal_group(child, signal.SIGKILL)


def _signal_group(child: int, number: int) -> None:
    # macOS answers EPERM, not ESRCH, if only zombies are left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
