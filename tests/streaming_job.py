"""A streaming job that tests follow, and the processes of its run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import run

ENDED = tuple(f"JOB_STATE_{state}" for state in ("DONE", "FAILED", "CANCELLED", "DRAINED"))
_DEADLINE_SEC = 90


def wait_until(condition: Callable[[], Any], explain: Callable[[], str]) -> None:
    """Poll; fail with the explanation when the time is up."""
    deadline = time.monotonic() + _DEADLINE_SEC
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.2)


class Job:
    """A job, controlled by the flexpack command."""

    def __init__(self, job_id, env):
        self.id = job_id
        self._env = env

    @property
    def state(self):
        return self.describe()["currentState"]

    def describe(self):
        return json.loads(self("describe", "--format=json").stdout)

    def drain(self):
        self("drain")
        self.wait_for("JOB_STATE_DRAINED")

    def wait_for(self, state):
        """Wait for the job's final state."""
        wait_until(lambda: self.state in ENDED, self.messages)
        assert self.state == state, self.messages()

    def metrics(self):
        """Return the kit's committed counters; several steps may have one of the same name."""
        totals = dict.fromkeys(("rows_read", "predictions", "dead_letters"), 0)
        text = self("metrics").stdout
        for name, value in re.findall(r"^(\w+) +flexpack .* ([\d,]+)$", text, re.MULTILINE):
            totals[name] += int(value.replace(",", ""))
        return totals

    def messages(self):
        return self("messages").stdout

    def __call__(self, verb, *flags):
        return run("flexpack", "jobs", verb, self.id, *flags, env=self._env)


def find_processes(needle: str, run_id: str) -> list[int]:
    """Return the processes of a job's run whose command holds ``needle``."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            log = str((process / "fd/2").readlink())
            # The leash shows its child's command too; only the child counts.
            if needle in command and "leash.py" not in command and run_id in log:
                found.append(int(process.name))
    return found


def kill(needle: str, run_id: str) -> None:
    (process,) = find_processes(needle, run_id)
    os.kill(process, signal.SIGKILL)
