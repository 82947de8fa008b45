"""Start, find and stop the local Dataflow, and make the shell variables that lead to it.

``flexpack emulator`` and the tests call it. Cheap to import; only the serving process imports
the server itself.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from launcher.emulator.foreground import (
    DEFAULT_PROJECT,
    AlreadyRunningError,
    make_folder,
    serve,
)
from launcher.emulator.instance import (
    PRUNE_PATH,
    EmulatorError,
    EmulatorInfo,
    EmulatorOptionError,
    ask,
    ask_projects,
    find_on_port,
    find_running,
    log_file,
    open_private,
)
from launcher.emulator.lock import find_holder, hold_lock, is_data_dir, send_signal
from launcher.emulator.options import OPTIONS, EmulatorOptions, Option, parse_arguments
from launcher.emulator.variables import shell_variables

__all__ = [
    "DEFAULT_PROJECT",
    "OPTIONS",
    "EmulatorError",
    "EmulatorInfo",
    "EmulatorOptionError",
    "EmulatorOptions",
    "Option",
    "build_coverage",
    "find_on_port",
    "find_running",
    "list_projects",
    "log_file",
    "prune",
    "register_project",
    "serve",
    "shell_variables",
    "start_detached",
    "stop",
]

_LOG = logging.getLogger(__name__)

_BAD_OPTION_STATUS = 2
_ALREADY_RUNNING_STATUS = 75
_POLL_SEC = 0.05
_WAITING = "Waiting for "
"""The beginning of log lines that say what a start waits for."""
_LOG_TAIL_LINES = 20


def start_detached(
    options: EmulatorOptions,
    *,
    timeout_sec: float = 30,
    on_wait: Callable[[str], None] = _LOG.info,
) -> EmulatorInfo:
    """Start an emulator that outlives this process, or return the one that serves the folder.

    Blocks until both ports answer.

    Args:
        on_wait: called with a text that says what a slow start is waiting for, and for how long.

    Raises:
        EmulatorOptionError: an option cannot be used.
        EmulatorError: it did not start (the message ends with the tail of its log), or the emulator
            that serves the folder was started by another version of the code.
    """
    options.check()
    folder = make_folder(options.data_dir)
    running = find_running(folder)
    if running is not None:
        return running
    command = [sys.executable, "-m", __spec__.name, *options.to_arguments()]
    with open_private(log_file(folder)) as log:
        started_at = log.tell()
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + timeout_sec
    waits_for = ""
    while time.monotonic() < deadline:
        running = find_running(folder)
        if running is not None:
            return running
        last = _tail(log_file(folder), started_at).rpartition("\n")[2]
        if last.startswith(_WAITING) and last != waits_for:
            waits_for = last
            on_wait(last)
        # The status "already running" means that another start is in progress: wait for that
        # one.
        if child.poll() not in (None, _ALREADY_RUNNING_STATUS):
            break
        time.sleep(_POLL_SEC)
    if child.poll() == _BAD_OPTION_STATUS:
        raise EmulatorOptionError(_tail(log_file(folder), started_at))
    ended = child.poll() is not None
    if not ended:
        child.terminate()
        child.wait(timeout=10)
    reason = "ended" if ended else f"did not answer within {timeout_sec:g} seconds"
    raise EmulatorError(
        f"the local Dataflow {reason}; its log, {log_file(folder)}, ends:\n"
        + _tail(log_file(folder), started_at)
    )


def stop(data_dir: Path, *, timeout_sec: float = 10) -> bool:
    """Stop the emulator of a folder; return False if none was running.

    Blocks until its process has ended, and kills it after ``timeout_sec``. No other process can be
    hit: the system identifies the holder of the folder's lock. May be called by several processes
    at once.

    Raises:
        EmulatorError: its process is another user's, is not visible, or cannot be stopped.
    """
    folder = data_dir.resolve()
    pid = find_holder(folder)
    if pid is None:
        return False
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        send_signal(folder, pid, signal_number)
        deadline = time.monotonic() + timeout_sec
        while find_holder(folder) == pid and time.monotonic() < deadline:
            time.sleep(_POLL_SEC)
        if find_holder(folder) != pid:
            _wait_until_ended(pid, timeout_sec)
            return True
    raise EmulatorError(f"process {pid} of the local Dataflow cannot be stopped")


def register_project(info: EmulatorInfo, name: str, folder: Path, python: Path) -> None:
    """Let ``local/NAME`` stand for the modules of a folder and a Python.

    It replaces a project of the same name. Blocks for some 100 ms.

    Raises:
        EmulatorOptionError: the emulator refuses; the message says why.
        EmulatorError: no emulator answers.
    """
    # Links are not resolved: the target of a virtual environment's Python does not see its
    # packages.
    project = {"name": name, "folder": str(folder.resolve()), "python": str(python.absolute())}
    ask_projects(info, project)


def list_projects(info: EmulatorInfo) -> list[dict[str, str]]:
    """Return the registered projects: ``name``, ``folder``, ``python``, the first ``missing`` file.

    Raises:
        EmulatorError: no emulator answers.
    """
    return ask_projects(info)


def prune(data_dir: Path, *, keep_jobs: int) -> Mapping[str, int]:
    """Delete finished jobs and their files, except the last to end; return how many were deleted.

    Works on the emulator of a folder if one runs, and on the folder itself otherwise.

    Raises:
        EmulatorError: no emulator has served the folder, or the one that does refuses.
    """
    folder = data_dir.resolve()
    info = find_running(folder)
    if info is not None:
        return ask(info, PRUNE_PATH, {"keepJobs": keep_jobs})
    if not is_data_dir(folder):
        raise EmulatorOptionError(f"--data-dir {data_dir}: no local Dataflow has served it")
    from launcher.emulator import server

    with hold_lock(folder) as is_held:
        if not is_held:
            raise EmulatorError(f"the local Dataflow of {data_dir} does not answer; stop it first")
        return server.prune_folder(folder, keep_jobs=keep_jobs)


def build_coverage() -> str:
    """Return the documentation of the parts of Google's APIs that the local Dataflow covers."""
    from launcher.emulator.service import coverage

    return coverage.build_coverage()


def _wait_until_ended(pid: int, timeout_sec: float) -> None:
    """Wait until a process that no longer serves has removed the images that it mounted."""
    if sys.platform != "linux":  # where none are
        return
    deadline = time.monotonic() + timeout_sec
    while time.monotonic() < deadline and _works(pid):
        time.sleep(_POLL_SEC)


def _works(pid: int) -> bool:
    """Return whether a process still runs; a zombie does not."""
    try:
        stat = Path("/proc", str(pid), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    state = stat.rpartition(")")[2].split()[0]  # after the name, which may contain anything
    return state not in ("Z", "X")


def _tail(path: Path, start: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-_LOG_TAIL_LINES:])


def _print_now(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _main() -> int:
    """Serve as the detached process; its output goes to the log."""
    try:
        serve(parse_arguments(), on_ready=lambda info: None, on_wait=_print_now)
    except EmulatorError as error:
        sys.stderr.write(f"{error}\n")
        if isinstance(error, EmulatorOptionError):
            return _BAD_OPTION_STATUS
        return _ALREADY_RUNNING_STATUS if isinstance(error, AlreadyRunningError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
