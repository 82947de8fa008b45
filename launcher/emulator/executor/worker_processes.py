"""Start the processes of SDK workers, the first ones ahead of time.

They are in the executor's process group, which the leash ends with the executor. If the
executor dies without a leash, they end by themselves. The output of the job's own code becomes
messages of the job; on Dataflow it becomes log entries.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from launcher.emulator.runtime.events import Importance, MessageEvent, Report
from launcher.emulator.runtime.execution import WorkerCommand

_BOOT = Path(__file__).with_name("worker_boot.py")
_MOST_PRINTED_LINES = 1000
"""The most lines of one worker that become messages; its log has all of them."""
_LONGEST_LINE_BYTES = 8 << 10
_OUTPUT_TIMEOUT_SEC = 1.0


class Process(Protocol):
    """The needed part of ``subprocess.Popen``."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...

    def kill(self) -> None: ...


class ForkedProcess:
    """A child of this process that was forked before its threads began.

    Args:
        stdin, stdout: file descriptors of this process's ends.
    """

    def __init__(self, pid: int, stdin: int, stdout: int) -> None:
        self.stdin: IO[bytes] | None = os.fdopen(stdin, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(stdout, "rb")
        self._pid = pid
        self._status: int | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def poll(self) -> int | None:
        return self._status

    def wait(self) -> int:
        self._ended.wait()
        assert self._status is not None
        return self._status

    def kill(self) -> None:
        with self._lock:  # While this is held, the id belongs to that process.
            if self._status is None:
                os.kill(self._pid, signal.SIGKILL)

    def _watch(self) -> None:
        os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            _, status = os.waitpid(self._pid, 0)
            self._status = os.waitstatus_to_exitcode(status)
        self._ended.set()


class WorkerProcess:
    """A worker that has begun to import the SDK harness and waits for its variables."""

    def __init__(
        self, command: WorkerCommand, worker_id: str, log: Path, process: Process, report: Report
    ) -> None:
        self.command = command
        self.worker_id = worker_id
        self.log = log
        self.process = process
        self._report = report
        self._output = threading.Thread(target=self._pass_on_output, daemon=True)
        self._output.start()

    def wait(self) -> int:
        """Block until it has ended and its output is in its log; return its status."""
        status = self.process.wait()
        self._output.join(_OUTPUT_TIMEOUT_SEC)  # A child process may keep the output open.
        return status

    def _pass_on_output(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as printed, self.log.open("ab", buffering=0) as log:
            for number in itertools.count(1):
                line = printed.readline(_LONGEST_LINE_BYTES)
                if not line:
                    return
                log.write(line)
                text = line.decode(errors="backslashreplace").rstrip()
                if number <= _MOST_PRINTED_LINES and text:
                    self._report(MessageEvent(Importance.DETAILED, text))
                if number == _MOST_PRINTED_LINES:
                    more = f"{self.worker_id} prints more; the rest is in {self.log}."
                    self._report(MessageEvent(Importance.DETAILED, more))

    def begin(self, variables: Mapping[str, str]) -> None:
        """Let the harness connect.

        Its standard input stays open: when it closes, the worker knows that the executor is dead.
        """
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # The thread that waits for the process notices its death.
            self.process.stdin.write(json.dumps(variables).encode() + b"\n")
            self.process.stdin.flush()


class WorkerProcesses:
    """Starts the worker processes of a job; thread-safe except ``adopt`` and ``prestart``."""

    def __init__(self, run_dir: Path, *, umask: int, report: Report) -> None:
        self._run_dir = run_dir
        self._umask = umask
        self._report = report
        self._numbers = itertools.count(1)
        self._prestarted: list[WorkerProcess] = []

    def prestart(self, command: WorkerCommand) -> None:
        """Start a process for a worker of that image."""
        self._prestarted.append(self._new(command))

    def adopt(self, command: WorkerCommand, process: Process) -> None:
        """Adopt a process that waits for its variables; it gets the next number."""
        worker_id, log = self._next()
        self._prestarted.append(WorkerProcess(command, worker_id, log, process, self._report))

    def start(self, command: WorkerCommand) -> WorkerProcess:
        """Return a process that waits for its variables: a prestarted one, otherwise a new one."""
        with suppress(IndexError):
            ready = self._prestarted.pop(0)
            if ready.command == command:
                return ready
            ready.process.kill()
        return self._new(command)

    def _next(self) -> tuple[str, Path]:
        worker_id = f"worker-{next(self._numbers)}"
        return worker_id, self._run_dir / f"{worker_id}.log"

    def _new(self, command: WorkerCommand) -> WorkerProcess:
        worker_id, log = self._next()
        with log.open("ab") as output:
            process = subprocess.Popen(
                (command.python, str(_BOOT), *command.modules),
                cwd=command.workdir,
                # The harness reads its id when it is imported. Output is unbuffered, so that each
                # line is passed on when it is printed.
                env={"PYTHONUNBUFFERED": "1", **command.process_env, "WORKER_ID": worker_id},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                umask=self._umask,
            )
        return WorkerProcess(command, worker_id, log, process, self._report)
