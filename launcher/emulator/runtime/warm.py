"""Warm processes: a parent that has imported what jobs import, and forks their processes.

It is for images that are this environment and run the kit's template, on Linux. If a job's
processes cannot be forked, new ones are started, which only takes some seconds longer.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from launcher.emulator.runtime import leash, warm_parent
from launcher.emulator.runtime.images import PY_FILE, Image
from launcher.emulator.runtime.processes import Child, Children

_LOG = logging.getLogger(__name__)

_START_TIMEOUT_SEC = 60.0
_ANSWER_TIMEOUT_SEC = 10.0
_MOST_PARENTS = 2
_POLL_SEC = 0.05
_KILLED = 128 + signal.SIGKILL
# Beam's runner and harness, torch, and the template with all that it imports.
_MODULES = (
    "torch",
    "apache_beam.runners.portability.fn_api_runner.fn_runner",
    "apache_beam.runners.worker.sdk_worker_main",
    "template.run",
    "template.models.fashion_mnist_network",
)
_OF_THE_JOB = (PY_FILE, "CLOUDSDK_CONFIG", "PYTHONPATH", "TMPDIR")
_OWN_ENV: Mapping[str, str] = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


class RefusedError(Exception):
    """The parent does not fork this process; the message says why."""


class ForkedChild(Child):
    """A child that the warm parent forked; its leash is not this process's own child.

    Args:
        fork: hands file descriptors over (the leash's end of the lifeline, standard input, output
            and error, and where the leash writes the exit status); returns the leash's id.
    """

    def __init__(
        self,
        fork: Callable[[Sequence[int]], int],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        stderr: int | IO[Any] = subprocess.DEVNULL,
    ) -> None:
        leash_end, lifeline = os.pipe()
        status, status_end = os.pipe()
        given = [leash_end, status_end]
        kept = [lifeline, status]

        def open_end(wanted: int | IO[Any], *, is_input: bool) -> tuple[int, int | None]:
            if wanted == subprocess.PIPE:
                read, write = os.pipe()
                theirs, ours = (read, write) if is_input else (write, read)
                given.append(theirs)
                kept.append(ours)
                return theirs, ours
            if wanted == subprocess.DEVNULL:
                given.append(os.open(os.devnull, os.O_RDWR))
                return given[-1], None
            return wanted if isinstance(wanted, int) else wanted.fileno(), None

        try:
            stdin_end, stdin_fd = open_end(stdin, is_input=True)
            stdout_end, stdout_fd = open_end(stdout, is_input=False)
            is_joined = stderr == subprocess.STDOUT
            stderr_end = stdout_end if is_joined else open_end(stderr, is_input=False)[0]
            pid = fork((leash_end, stdin_end, stdout_end, stderr_end, status_end))
        except BaseException:
            for fd in kept:
                os.close(fd)
            raise
        finally:
            for fd in given:
                os.close(fd)
        self._process: Any = _Leash(pid, status, stdin_fd, stdout_fd)
        self._lifeline = lifeline
        self._lock = threading.Lock()
        self._released = False


class _Leash:
    """The leash of a forked child, with what ``Child`` uses of ``subprocess.Popen``."""

    def __init__(self, pid: int, status: int, stdin: int | None, stdout: int | None) -> None:
        self.pid = pid
        self.stdin = None if stdin is None else os.fdopen(stdin, "wb")
        self.stdout = None if stdout is None else os.fdopen(stdout, "rb")
        self._status = _KILLED
        self._ended = threading.Event()
        threading.Thread(target=self._watch, args=(status,), daemon=True).start()

    def wait(self, timeout_sec: float | None = None) -> int:
        if not self._ended.wait(timeout_sec):
            raise subprocess.TimeoutExpired("", timeout_sec or 0)
        return self._status

    def kill(self) -> None:
        if not self._ended.is_set():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _watch(self, status: int) -> None:
        with os.fdopen(status, "rb") as ended:
            written = ended.read()  # until the leash is gone
        if written:
            self._status = int(written)
        self._ended.set()


class WarmParent:
    """One warm parent; ``wait_until_ready`` before ``fork``."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self.env = env
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        self._answers = self._control.makefile("rb")
        with theirs, log.open("ab") as output:
            self._child = Child(
                [
                    sys.executable,
                    warm_parent.__file__,
                    str(theirs.fileno()),
                    leash.__file__,
                    *_MODULES,
                ],
                cwd=Path("/"),
                env={**env, **_OWN_ENV},
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
            )
        self._ready: bool | None = None
        self._settled = threading.Event()
        threading.Thread(target=self._await_ready, name="warm-parent", daemon=True).start()

    def wait_until_ready(self, cancelled: threading.Event) -> bool:
        """Block until everything is imported or the job is cancelled; return whether it is ready.

        Raises:
            StaleError: the imports failed or took too long.
        """
        deadline = time.monotonic() + _START_TIMEOUT_SEC
        while not self._settled.wait(_POLL_SEC):
            if cancelled.is_set():
                return False
            if time.monotonic() > deadline:
                raise StaleError("it takes too long to start")
        if not self._ready:
            raise StaleError("it ended while it was starting")
        return True

    def fork(self, order: Mapping[str, Any], fds: Sequence[int]) -> int:
        """Request a fork, and return the id of its leash.

        Raises:
            StaleError: files that it has imported have changed, or it is dead.
            RefusedError: it does not fork such a process.
        """
        text = json.dumps(order).encode()
        with self._lock:
            try:
                self._control.settimeout(_ANSWER_TIMEOUT_SEC)
                socket.send_fds(self._control, [b"%08x" % len(text)], fds)
                self._control.sendall(text)
                answer = json.loads(self._answers.readline())
            except (OSError, ValueError) as error:
                raise StaleError(f"it does not answer ({error})") from error
        if "pid" in answer:
            return answer["pid"] or 0
        raise (StaleError if answer["is_stale"] else RefusedError)(answer["refused"])

    def check(self, env: Mapping[str, str]) -> None:
        """Check that processes with these variables can be forked.

        Raises:
            StaleError, RefusedError: as ``fork``.
        """
        self.fork({"role": "check", "env": dict(env)}, ())

    def close(self) -> None:
        """End it; its forks keep running."""
        self._child.kill()
        self._control.close()

    def _await_ready(self) -> None:
        try:
            self._ready = bool(self._answers.readline())
        except OSError:
            self._ready = False
        self._settled.set()


class StaleError(RefusedError):
    """A new parent may fork it."""


class WarmProcesses:
    """Keeps a warm parent from the first job that can use one; thread-safe.

    Args:
        folder: gets the parent's log.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "warm.log"
        self._lock = threading.Lock()
        self._parent: WarmParent | None = None
        self._closed = False

    def prepare(
        self, image: Image, env: Mapping[str, str], cancelled: threading.Event
    ) -> WarmParent | None:
        """Return a parent for the processes of an image, or None; block until it is ready.

        Args:
            env: the variables of the processes.
            cancelled: ends the wait.
        """
        if not can_be_warm(image):
            return None
        for _ in range(_MOST_PARENTS):
            parent = self._find_or_start(env)
            if parent is None:
                return None
            try:
                if not parent.wait_until_ready(cancelled):
                    return None
                parent.check(env)
            except StaleError as error:
                _LOG.info("the warm parent is replaced: %s; its output is in %s", error, self._log)
                self._drop(parent)
            except RefusedError as error:
                _LOG.info("a job's processes are started from scratch: %s", error)
                return None
            else:
                return parent
        return None

    def close(self) -> None:
        """End the parent."""
        with self._lock:
            self._closed = True
            parent, self._parent = self._parent, None
        if parent is not None:
            parent.close()

    def _find_or_start(self, env: Mapping[str, str]) -> WarmParent | None:
        with self._lock:
            if self._parent is None and not self._closed:
                own = {name: value for name, value in env.items() if name not in _OF_THE_JOB}
                self._parent = WarmParent(own, self._log)
            return self._parent

    def _drop(self, parent: WarmParent) -> None:
        with self._lock:
            if self._parent is parent:
                self._parent = None
        parent.close()


def start(
    children: Children,
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    umask: int = -1,
    warm: WarmParent | None = None,
    role: str = "",
    **streams: Any,
) -> Child:
    """Start a child of a job: forked from a warm parent if there is one, otherwise new.

    Args:
        command: an interpreter of this environment, a file, and its arguments.
        warm: the parent.
        role: "launcher" or "executor".

    Raises:
        ChildrenClosedError: the job's children were killed.
    """

    def make() -> Child:
        if warm is not None:
            order = {
                "role": role,
                "command": command[1:],
                "cwd": str(cwd),
                "env": dict(env),
                "umask": umask,
            }
            try:
                return ForkedChild(lambda fds: warm.fork(order, fds), **streams)
            except RefusedError as error:
                _LOG.warning("a process is not forked: %s", error)
        return Child(command, cwd=cwd, env=env, umask=umask, **streams)

    return children.add(make)


def can_be_warm(image: Image) -> bool:
    """Return whether an image's processes can be forked from a process of this environment."""
    return (
        sys.platform == "linux"
        and image.root is None
        and _is_own(image.python)
        and image.runs_template
        and image.env.keys() <= {PY_FILE}
    )


def _is_own(python: Path) -> bool:
    """Return whether an interpreter is this environment's, perhaps under another name."""
    own = Path(sys.executable)
    return python.parent == own.parent and python.exists() and python.samefile(own)
