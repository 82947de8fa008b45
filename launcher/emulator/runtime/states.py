"""Job states, and the only table of the transitions between them.

Mirrors ``JobState``:
https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.jobs#Job.JobState Other
transitions do not happen. The run decides when a job moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class JobState(StrEnum):
    """The states that a job of the local Dataflow can be in."""

    STOPPED = "JOB_STATE_STOPPED"
    QUEUED = "JOB_STATE_QUEUED"
    PENDING = "JOB_STATE_PENDING"
    RUNNING = "JOB_STATE_RUNNING"
    DONE = "JOB_STATE_DONE"
    FAILED = "JOB_STATE_FAILED"
    CANCELLING = "JOB_STATE_CANCELLING"
    CANCELLED = "JOB_STATE_CANCELLED"
    DRAINING = "JOB_STATE_DRAINING"
    DRAINED = "JOB_STATE_DRAINED"

    @property
    def is_terminal(self) -> bool:
        return not TRANSITIONS[self]


# A queued job can fail: the document's text says otherwise, but it was observed when a launcher
# fails. Cancelling is possible from every state that is not terminal.
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        JobState.STOPPED: frozenset({JobState.PENDING, JobState.FAILED, JobState.CANCELLING}),
        JobState.QUEUED: frozenset({JobState.PENDING, JobState.FAILED, JobState.CANCELLING}),
        JobState.PENDING: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLING}),
        JobState.RUNNING: frozenset(
            {JobState.DONE, JobState.FAILED, JobState.CANCELLING, JobState.DRAINING}
        ),
        JobState.DRAINING: frozenset({JobState.DRAINED, JobState.FAILED, JobState.CANCELLING}),
        JobState.CANCELLING: frozenset({JobState.CANCELLED, JobState.FAILED}),
        JobState.DONE: frozenset(),
        JobState.FAILED: frozenset(),
        JobState.CANCELLED: frozenset(),
        JobState.DRAINED: frozenset(),
    }
)


class IllegalTransitionError(ValueError):
    """A job's change of state is not in the table."""

    def __init__(self, job_id: str, current: JobState, wanted: JobState) -> None:
        super().__init__(f"job {job_id} cannot go from {current} to {wanted}")
        self.current = current
        self.wanted = wanted


def check_transition(job_id: str, current: JobState, wanted: JobState) -> None:
    """Check one step.

    Raises:
        IllegalTransitionError: the table does not have it.
    """
    if wanted not in TRANSITIONS[current]:
        raise IllegalTransitionError(job_id, current, wanted)
