"""Processes of SDK workers: how they are started, and one of them ahead of time.

They live in the executor's process group, which the leash ends with the executor, and end
themselves when the executor dies without a leash.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from launcher.emulator.runtime.execution import WorkerCommand

_BOOT = Path(__file__).with_name("worker_boot.py")


class WorkerProcess:
    """A worker that has begun to import the SDK harness and waits for its variables."""

    def __init__(self, command: WorkerCommand, worker_id: str, run_dir: Path, umask: int) -> None:
        self.command = command
        self.worker_id = worker_id
        self.log = run_dir / f"{worker_id}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                (command.python, str(_BOOT)),
                cwd=command.workdir,
                # The harness reads its id as early as it is imported.
                env={**command.process_env, "WORKER_ID": worker_id},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                umask=umask,
            )

    def begin(self, variables: Mapping[str, str]) -> None:
        """Let the harness connect.

        Its standard input stays open: when it closes, the worker knows that the executor is dead.
        """
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # Whoever waits for the process notices its death.
            self.process.stdin.write(json.dumps(variables).encode() + b"\n")
            self.process.stdin.flush()


class WorkerProcesses:
    """Starts the worker processes of a job; thread-safe but for ``prestart``."""

    def __init__(self, run_dir: Path, *, umask: int) -> None:
        self._run_dir = run_dir
        self._umask = umask
        self._numbers = itertools.count(1)
        self._prestarted: list[WorkerProcess] = []

    def prestart(self, command: WorkerCommand) -> None:
        """Start a process for the first worker of that image."""
        self._prestarted.append(self._new(command))

    def start(self, command: WorkerCommand) -> WorkerProcess:
        """Return a process that waits for its variables: a prestarted one, or else a new one."""
        with suppress(IndexError):
            ready = self._prestarted.pop()
            if ready.command == command:
                return ready
            ready.process.kill()
        return self._new(command)

    def _new(self, command: WorkerCommand) -> WorkerProcess:
        worker_id = f"worker-{next(self._numbers)}"
        return WorkerProcess(command, worker_id, self._run_dir, self._umask)
