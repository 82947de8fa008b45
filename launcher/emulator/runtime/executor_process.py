"""The executor process of one job, as the emulator sees it: started, instructed, followed."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from launcher.emulator.runtime import temp
from launcher.emulator.runtime.errors import WorkflowFailedError
from launcher.emulator.runtime.events import GarbledEventsError, Report, StateEvent, read_events
from launcher.emulator.runtime.execution import Drain, Execution, Preparation
from launcher.emulator.runtime.launcher_process import find_last_output
from launcher.emulator.runtime.processes import Children
from launcher.emulator.runtime.warm import WarmParent, start

_COMMAND = (sys.executable, "-m", "launcher.emulator.executor")


class ExecutorDiedError(WorkflowFailedError):
    """The executor ended before its job did."""

    def __init__(self, problem: str, output: str) -> None:
        super().__init__(f"{problem}.", output)
        self.problem = problem


class ExecutorProcess:
    """Starts the process, which imports Beam and waits for the job."""

    def __init__(
        self,
        children: Children,
        preparation: Preparation,
        *,
        temp_dir: Path,
        warm: WarmParent | None = None,
    ) -> None:
        self._log = preparation.run_dir / "executor.log"
        with self._log.open("ab") as log:
            self._child = start(
                children,
                _COMMAND,
                cwd=preparation.run_dir,
                env={**os.environ, temp.VARIABLE: str(temp_dir)},
                warm=warm,
                role="executor",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.send(preparation)

    def send(self, record: Preparation | Execution | Drain) -> None:
        """Write to its standard input; if it is dead, ``follow`` reports that."""
        with suppress(BrokenPipeError):
            self._child.stdin.write(record.to_line())
            self._child.stdin.flush()

    def follow(self, report: Report) -> None:
        """Pass on its reports; block until the job has ended.

        Raises:
            ExecutorDiedError: it ended too early, or was killed because it wrote something other
            than events.
        """
        try:
            for event in read_events(self._child.stdout):
                report(event)
                if isinstance(event, StateEvent) and event.state.is_terminal:
                    return
            status = self._child.wait()
            problem = f"the executor ended with exit status {status} before the job did"
        except GarbledEventsError as error:
            self._child.kill()  # If it kept running, it would compete with its successor.
            problem = f"the executor sent something that is {error}"
        output = find_last_output(self._log.read_text(errors="replace"))
        raise ExecutorDiedError(problem, f"Its last output, in {self._log}:\n{output or '(none)'}")
