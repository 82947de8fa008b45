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

from launcher.emulator.runtime.execution import WorkerEnvironment

_HERE = Path(__file__).parent
_BOOT = _HERE / "worker_boot.py"
_STOCK_BOOT = _HERE / "stock_boot.py"


class WorkerProcess:
    """A worker that has begun to import the SDK harness and waits for its variables."""

    def __init__(
        self, environment: WorkerEnvironment, worker_id: str, run_dir: Path, umask: int
    ) -> None:
        self.environment = environment
        self.worker_id = worker_id
        self.log = run_dir / f"{worker_id}.log"
        boot = ("-I", str(_STOCK_BOOT)) if environment.stock else (str(_BOOT),)
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                (environment.python, *boot),
                cwd=environment.workdir,
                # The harness reads its id as early as it is imported.
                env={**environment.env, "WORKER_ID": worker_id},
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

    def prestart(self, environment: WorkerEnvironment) -> None:
        """Start a process for the first worker of that environment."""
        self._prestarted.append(self._new(environment))

    def start(self, environment: WorkerEnvironment) -> WorkerProcess:
        """Return a process that waits for its variables: a prestarted one, or else a new one."""
        with suppress(IndexError):
            ready = self._prestarted.pop()
            if ready.environment == environment:
                return ready
            ready.process.kill()
        return self._new(environment)

    def _new(self, environment: WorkerEnvironment) -> WorkerProcess:
        worker_id = f"worker-{next(self._numbers)}"
        return WorkerProcess(environment, worker_id, self._run_dir, self._umask)
