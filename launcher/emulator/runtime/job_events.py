"""What a run tells of its job while it works, and what it raises where the job cannot go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class JobEvents(Protocol):
    """Is told what happens to jobs, from the runtime's threads."""

    def job_object(self, job_id: str, job: Mapping[str, Any]) -> None:
        """The launcher has staged this ``Job``."""

    def state(self, job_id: str, state: str) -> None:
        """The job is PENDING, RUNNING, DONE, DRAINED or FAILED (``JOB_STATE_...``)."""

    def message(self, job_id: str, importance: str, text: str) -> None:
        """The job has something to say."""

    def metrics(self, job_id: str, metrics: Sequence[Mapping[str, Any]]) -> None:
        """These ``MetricUpdate`` records replace the job's metrics."""


class JobFailedError(Exception):
    """The job cannot be executed; the messages say why and what to change, in this order."""

    def __init__(self, *messages: str) -> None:
        super().__init__(messages[0])
        self.messages = messages
