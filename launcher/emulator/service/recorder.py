"""What a runtime reports of its jobs, written down: the service's side of ``JobEvents``.

Called from the runtime's threads. Reports are judged like requests: a job object or a metric that
does not fit its schema is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from launcher.emulator.runtime.states import IllegalTransitionError, JobState
from launcher.emulator.service.job_store import JobStore
from launcher.emulator.service.schema import Messages

_LOG = logging.getLogger(__name__)

# Fields of a Job that are the service's alone, whatever a job object says.
SERVICE_FIELDS = frozenset(
    {
        "id",
        "projectId",
        "location",
        "name",
        "currentState",
        "currentStateTime",
        "requestedState",
        "createTime",
        "startTime",
    }
)


class JobRecorder:
    """Persists what happens to jobs; thread-safe."""

    def __init__(self, *, jobs: JobStore, messages: Messages) -> None:
        self._jobs = jobs
        self._messages = messages

    def job_object(self, job_id: str, job: Mapping[str, Any]) -> None:
        """Take over type, labels, environment and steps of the job that the launcher staged.

        Raises:
            ApiError: it is not a ``Job``.
        """
        parsed = self._messages.parse("Job", job, ignore_unknown=True)
        self._jobs.update_document(
            job_id, {name: value for name, value in parsed.items() if name not in SERVICE_FIELDS}
        )

    def state(self, job_id: str, state: str) -> None:
        """Take a job to the state that the runtime reports.

        A report that comes too late, when the job is being cancelled or has ended, or that tells
        nothing new, changes nothing.

        Raises:
            IllegalTransitionError: the report cannot be right.
        """
        wanted = JobState(state)
        try:
            # One that is being cancelled fails only if its processes stay, which is not told here.
            self._jobs.transition(job_id, wanted, unless=JobState.CANCELLING)
        except IllegalTransitionError as error:
            late = error.current.is_terminal or error.current is JobState.CANCELLING
            if not late and error.current is not wanted:
                raise
            _LOG.info("ignored: %s", error)

    def message(self, job_id: str, importance: str, text: str) -> None:
        """Add a job message."""
        self._jobs.add_message(job_id, importance, text)

    def metrics(self, job_id: str, metrics: Sequence[Mapping[str, Any]]) -> None:
        """Replace a job's metrics.

        Raises:
            ApiError: one is not a ``MetricUpdate``.
        """
        self._jobs.put_metrics(
            job_id, [self._messages.parse("MetricUpdate", metric) for metric in metrics]
        )
