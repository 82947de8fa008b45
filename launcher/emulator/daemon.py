"""Start, find and stop the local Dataflow, and make the shell variables that lead to it.

What ``flexpack emulator`` and the tests call. Cheap to import; the server itself is imported by
the process that serves.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.emulator.instance import (
    PRUNE_PATH,
    EmulatorError,
    EmulatorInfo,
    EmulatorOptionError,
    ask,
    ask_projects,
    find_on_port,
    find_running,
    fingerprint_code,
    log_file,
    open_private,
    state_file,
    write_state,
)
from launcher.emulator.lock import find_holder, hold_lock, is_data_dir, send_signal
from launcher.emulator.options import OPTIONS, EmulatorOptions, Option, parse_arguments
from launcher.emulator.variables import client_variables, shell_variables

if TYPE_CHECKING:
    from launcher.emulator.pubsub import PubSubEmulator

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

DEFAULT_PROJECT = "local-project"
"""The project that the metadata server gives to programs without one."""

_BAD_OPTION_STATUS = 2
_ALREADY_RUNNING_STATUS = 75
_POLL_SEC = 0.05
_WAITING = "Waiting for "
"""The beginning of log lines that say what a start waits for."""
_LOG_TAIL_LINES = 20
_LEAST_ROOM_BYTES = 1 << 20


class _AlreadyRunningError(EmulatorError):
    """Another process serves the folder."""


def serve(
    options: EmulatorOptions,
    *,
    on_ready: Callable[[EmulatorInfo], None],
    on_wait: Callable[[str], None] = _LOG.info,
) -> None:
    """Serve in the foreground until SIGTERM, SIGINT or SIGHUP; call from the main thread.

    Args:
        options: how to serve.
        on_ready: called when both ports answer.
        on_wait: called with a text that says what a start of some seconds waits for, and how long.

    Raises:
        EmulatorOptionError: an option cannot be used; a port is taken, for example.
        EmulatorError: the folder has an emulator already.
    """
    options.check()
    port, storage_port, data_dir = options.port, options.storage_port, options.data_dir
    code = fingerprint_code()
    from launcher.emulator import pubsub

    folder = _make_folder(data_dir)
    with contextlib.ExitStack() as stack:
        if not stack.enter_context(hold_lock(folder)):
            raise _AlreadyRunningError(
                f"--data-dir {data_dir}: an emulator is running there; stop it with "
                f"'flexpack emulator stop --data-dir {data_dir}', or choose another folder"
            )
        # Only this user may read what it and its executors write; the jobs' own code has the
        # user's usual umask.
        umask = os.umask(0o077)
        stack.callback(os.umask, umask)
        # First, so that Java starts while the rest is imported.
        pubsub_emulator = _start_pubsub(options, folder)
        if pubsub_emulator is not None:
            stack.callback(pubsub_emulator.close)
        from launcher.emulator import console, server

        if storage_port is None:
            storage_port = port + 1 if port else 0
        dataflow_socket = stack.enter_context(server.bind(port, "--port"))
        storage_socket = stack.enter_context(server.bind(storage_port, "--storage-port"))
        console_socket = None
        if not options.no_console:
            console_socket = stack.enter_context(console.listen(port + 3 if port else 0))
        pubsub_problem = (
            pubsub_emulator.wait(on_slow=on_wait) if pubsub_emulator else pubsub.NOT_FOUND
        )
        info = EmulatorInfo(
            pid=os.getpid(),
            dataflow_port=dataflow_socket.getsockname()[1],
            storage_port=storage_socket.getsockname()[1],
            data_dir=folder,
            console_port=console_socket.getsockname()[1] if console_socket else None,
            pubsub_port=pubsub_emulator.port if pubsub_emulator and not pubsub_problem else None,
            pubsub_problem=pubsub_problem,
        )
        logging.basicConfig(
            filename=log_file(folder),
            level=logging.INFO,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            force=True,
        )
        if pubsub_problem:
            _LOG.warning("no Pub/Sub: %s", pubsub_problem)

        def note_restart(text: str) -> None:
            text = f"At {time.strftime('%H:%M:%S')}: {text}"
            write_state(dataclasses.replace(info, pubsub_problem=text), code)

        def announce() -> None:
            write_state(info, code)
            stack.callback(state_file(folder).unlink, missing_ok=True)
            if pubsub_emulator is not None:
                pubsub_emulator.on_restart.append(note_restart)
            if console_socket is not None:
                variables = shell_variables(info, project=DEFAULT_PROJECT)
                starter = console.ConsoleStarter(console_socket, variables, folder)
                stack.callback(starter.close)
            on_ready(info)

        server.serve_until_stopped(
            dataflow_socket=dataflow_socket,
            storage_socket=storage_socket,
            data_dir=folder,
            umask=umask,
            images=options.images,
            max_jobs=options.max_jobs,
            keep_jobs=options.keep_jobs,
            running_sec=options.running_sec or 0,
            warm=options.is_warm,
            pubsub=pubsub_emulator if pubsub_emulator and not pubsub_problem else None,
            project_id=DEFAULT_PROJECT,
            endpoints=client_variables(info),
            on_ready=announce,
        )


def _start_pubsub(options: EmulatorOptions, folder: Path) -> PubSubEmulator | None:
    from launcher.emulator import pubsub

    port = options.pubsub_port
    if port is None:
        port = options.port + 2 if options.port else 0
    try:
        return pubsub.start(
            port=port, folder=folder, heap_mb=options.pubsub_heap_mb or pubsub.DEFAULT_HEAP_MB
        )
    except pubsub.PortTakenError as error:
        raise EmulatorOptionError(
            f"--pubsub-port {port}: the port is in use by another program, and Google's Pub/Sub "
            "emulator needs it; choose another with --pubsub-port, or all of them with --port"
        ) from error


def start_detached(
    options: EmulatorOptions,
    *,
    timeout_sec: float = 30,
    on_wait: Callable[[str], None] = _LOG.info,
) -> EmulatorInfo:
    """Start an emulator that outlives this process, or return the one that serves the folder.

    Blocks until both ports answer.

    Args:
        on_wait: called with a text that says what a start of some seconds waits for, and how long.

    Raises:
        EmulatorOptionError: an option cannot be used.
        EmulatorError: it did not start, and the message ends with the tail of its log; or the one
            that serves the folder was started by another version of the code.
    """
    options.check()
    folder = _make_folder(options.data_dir)
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
        # A status that says "already running" means another start at the same moment: wait
        # for that one.
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
    hit: the system names the holder of the folder's lock. May be called by several processes at
    once.

    Raises:
        EmulatorError: its process is another user's, or out of sight, or cannot be stopped.
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

    A project of that name is replaced. Blocks for some 100 ms.

    Raises:
        EmulatorOptionError: the emulator refuses; the message says why.
        EmulatorError: no emulator answers.
    """
    # Links stay: the target of a virtual environment's Python does not see its packages.
    project = {"name": name, "folder": str(folder.resolve()), "python": str(python.absolute())}
    ask_projects(info, project)


def list_projects(info: EmulatorInfo) -> list[dict[str, str]]:
    """Return the registered projects: ``name``, ``folder``, ``python``, the first ``missing`` file.

    Raises:
        EmulatorError: no emulator answers.
    """
    return ask_projects(info)


def prune(data_dir: Path, *, keep_jobs: int) -> Mapping[str, int]:
    """Delete finished jobs and their files, except the last to end; return the numbers deleted.

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
    """Return the documentation of what the local Dataflow covers of Google's APIs."""
    from launcher.emulator.service import coverage

    return coverage.build_coverage()


def _make_folder(data_dir: Path) -> Path:
    """Make the folder for this user only: it holds the objects, parameters and logs of jobs."""
    folder = data_dir.resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            if any(folder.iterdir()) and not is_data_dir(folder):
                raise EmulatorOptionError(
                    f"--data-dir {data_dir}: other users may look into this folder, and it holds "
                    f"files that are not the local Dataflow's; name a folder that does not exist, "
                    f"or 'chmod 700 {data_dir}'"
                )
            folder.chmod(0o700)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_LEAST_ROOM_BYTES))
    except OSError as error:
        raise EmulatorOptionError(
            f"--data-dir {data_dir}: cannot be written ({error.strerror}); name another folder"
        ) from error
    return folder


def _wait_until_ended(pid: int, timeout_sec: float) -> None:
    """Wait for a process that no longer serves to remove the images that it has mounted."""
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
    state = stat.rpartition(")")[2].split()[0]  # after the name, which may hold anything
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
        return _ALREADY_RUNNING_STATUS if isinstance(error, _AlreadyRunningError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
