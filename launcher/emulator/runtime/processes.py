"""Child processes that cannot outlive the emulator, and the group of one job's children.

Every child runs under a leash (``leash.py``): its own process group, which is killed as a whole
when the child ends, when it is killed here, and when the emulator dies.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from launcher.emulator.runtime import leash

_KILL_TIMEOUT_SEC = leash.GRACE_SEC + 10


class ChildrenClosedError(RuntimeError):
    """The job's children were killed, and it starts no more."""


class Child:
    """One child process and all that it starts; its umask is this process's unless it is given."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        umask: int = -1,
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.DEVNULL,
        stderr: int | IO[Any] = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> None:
        leash_end, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", leash.__file__, str(leash_end), *command],
                cwd=cwd,
                env=env,
                umask=umask,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(leash_end, *pass_fds),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(leash_end)
        self._lock = threading.Lock()
        self._released = False

    @property
    def pid(self) -> int:
        """The process above the child and all that it starts."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def wait(self, timeout_sec: float | None = None) -> int | None:
        """Block until the child and its group are gone.

        Returns:
            The exit status (128 + N when signal N killed it), or None when the time is up.
        """
        try:
            return self._process.wait(timeout_sec)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Kill the child and its group, SIGTERM before SIGKILL; block until they are gone."""
        with self._lock:
            if not self._released:
                self._released = True
                os.close(self._lifeline)
        if self.wait(_KILL_TIMEOUT_SEC) is None:
            self._process.kill()
            self._process.wait()


class Children:
    """The children of one job; thread-safe. Once killed, it refuses to start another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[Child] = []
        self._closed = False

    def start(self, command: Sequence[str], **options: Any) -> Child:
        """Start a child; the options are those of ``Child``.

        Raises:
            ChildrenClosedError: ``kill_all`` was called.
        """
        return self.add(lambda: Child(command, **options))

    def add(self, make: Callable[[], Child]) -> Child:
        """Take on the child that ``make`` starts.

        Raises:
            ChildrenClosedError: ``kill_all`` was called.
        """
        with self._lock:
            if self._closed:
                raise ChildrenClosedError
            child = make()
            self._running.append(child)
            return child

    def pids(self) -> list[int]:
        """Return the leashes of all running children."""
        with self._lock:
            return [child.pid for child in self._running]

    def kill_all(self) -> None:
        """Kill every child; block until all are gone. May be repeated."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, []
        for child in running:
            child.kill()
