"""Records the reports of runs.

Called from the runs' threads. Reports are judged like requests: a job object or a metric that does
not fit its schema is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from launcher.emulator.runtime.events import (
    Event,
    MessageEvent,
    MetricsEvent,
    StagedEvent,
    StateEvent,
    UsageEvent,
    WorkersEvent,
)
from launcher.emulator.runtime.states import IllegalTransitionError, JobState
from launcher.emulator.service.history import JobHistory
from launcher.emulator.service.job_store import JobStore
from launcher.emulator.service.schema import Messages

_LOG = logging.getLogger(__name__)

# Fields of a Job that only the service sets, whatever a job object says.
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
    """Records what happens to jobs; thread-safe."""

    def __init__(self, *, jobs: JobStore, messages: Messages, history: JobHistory) -> None:
        self._jobs = jobs
        self._history = history
        self._messages = messages

    def record(self, job_id: str, event: Event) -> None:
        """Record a run's report of its job.

        Raises:
            ApiError: a staged job is not a ``Job``, or a metric is not a ``MetricUpdate``.
            IllegalTransitionError: the job cannot have reached that state.
        """
        match event:
            case StagedEvent(job):
                self._update_document(job_id, job)
            case StateEvent(state):
                self._transition(job_id, state)
            case MessageEvent(importance, text):
                self._jobs.add_message(job_id, importance, text)
            case WorkersEvent(count, text):
                self._jobs.add_workers(job_id, count, text)
            case MetricsEvent(metrics):
                parse = self._messages.parse
                updates = [parse("MetricUpdate", metric) for metric in metrics]
                self._jobs.put_metrics(job_id, updates)
                self._history.add_metrics(job_id, updates)
            case UsageEvent(cores, memory_bytes):
                self._history.add_usage(job_id, cores, memory_bytes)

    def _update_document(self, job_id: str, job: Mapping[str, Any]) -> None:
        """Store type, labels, environment and steps of the job that the launcher staged."""
        parsed = self._messages.parse("Job", job, ignore_unknown=True)
        self._jobs.update_document(
            job_id, {name: value for name, value in parsed.items() if name not in SERVICE_FIELDS}
        )

    def _transition(self, job_id: str, wanted: JobState) -> None:
        """Set the state that a run reports.

        A report that is not new, or arrives when the job has ended or is being cancelled, changes
        nothing.
        """
        try:
            # A job that is being cancelled fails only if its processes survive, which no run
            # reports.
            self._jobs.transition(job_id, wanted, unless=JobState.CANCELLING)
        except IllegalTransitionError as error:
            late = error.current.is_terminal or error.current is JobState.CANCELLING
            if not late and error.current is not wanted:
                raise
            _LOG.info("ignored: %s", error)
