"""Wait for a job to reach a milestone, or to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from launcher.errors import ServiceError
from launcher.jobs.dataflow import Dataflow
from launcher.jobs.errors import JobCancelled, JobFailed, JobTimeout
from launcher.jobs.records import (
    Job,
    JobMessage,
    JobObserver,
    JobState,
    MessageImportance,
    Milestone,
)

_GIVEN_UP = frozenset({JobState.FAILED, JobState.CANCELLING, JobState.CANCELLED})


def wait_for_job(
    dataflow: Dataflow,
    job_id: str,
    *,
    until: Milestone = Milestone.ENDED,
    timeout_sec: float = 24 * 60 * 60,
    poll_interval_sec: float = 5.0,
    outage_limit_sec: float = 300.0,
    observer: JobObserver | None = None,
    on_staged: Callable[[Job], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Job:
    """Wait until a job reaches a milestone or succeeds, and return it. Blocks.

    Polls fast at first, because a job on the local Dataflow takes seconds, then every
    ``poll_interval_sec``.

    Args:
        until: the milestone; a streaming job ends only when somebody drains or cancels it.
        timeout_sec: how long to wait for the job, which keeps running after that.
        outage_limit_sec: how long Dataflow may be unreachable before the wait gives up.
        on_staged: called once with the job, as soon as its launcher has staged it and unless it
            is about to fail; an exception that it raises ends the waiting.

    Raises:
        JobFailed: it failed; carries its last error messages.
        JobCancelled: it was cancelled.
        JobTimeout: it has not got that far in time.
        ServiceError: Dataflow refused to answer, or was unreachable for too long.
    """
    tail = _MessageTail(dataflow, job_id, until)
    started = reached = clock()
    while True:
        now = clock()
        try:
            job = dataflow.get(job_id)
            messages = tail.read() if observer or until is Milestone.WORKERS_STARTED else ()
            if observer:  # The messages that explain a state are passed on before it.
                for message in messages:
                    observer.on_message(message)
                observer.on_metrics(dataflow.metrics(job_id))
                observer.on_job(job)
            if on_staged and job.current_state.is_staged and job.current_state not in _GIVEN_UP:
                on_staged(job)
                on_staged = None
            if job.current_state.is_terminal:
                return _checked(dataflow, job)
            if until is Milestone.STAGED and job.current_state.is_staged:
                return job
            if until is Milestone.WORKERS_STARTED and tail.reports_workers:
                return job
            reached = now
        except ServiceError as error:
            if not error.is_transient or now - reached > outage_limit_sec:
                raise
            if observer:
                observer.on_outage(error)
            job = Job(id=job_id)
        if now - started >= timeout_sec:
            raise JobTimeout(
                f"job {job_id} is {job.current_state} after {timeout_sec:g} s of waiting and keeps "
                f"running; stop it with 'flexpack jobs cancel {job_id}'",
                job,
            )
        pace = min(poll_interval_sec, 0.1 + (now - started) / 10)
        sleep(min(pace, started + timeout_sec - now))


def have_workers_started(dataflow: Dataflow, job_id: str) -> bool:
    """Return whether a job's workers have started. Blocks for one or a few requests."""
    messages = dataflow.messages(job_id, minimum_importance=MessageImportance.DETAILED)
    return any(_reports_workers(message) for message in messages)


def _reports_workers(message: JobMessage) -> bool:
    return message.message_text.startswith(_WORKERS_STARTED)


# The service's words for when the machines are ready, and when the workers on them are. Benchmarks
# of Beam and of Google's templates take the second as the start of the work. Both have been
# DETAILED.
_WORKERS_STARTED = (
    "Workers have started successfully",
    "All workers have finished the startup processes",
)


class _MessageTail:
    """Reads a job's messages, each once."""

    # Messages of the same moment may become visible at different times, so look back a little.
    _LOOK_BACK = timedelta(seconds=60)

    def __init__(self, dataflow: Dataflow, job_id: str, until: Milestone) -> None:
        self._dataflow = dataflow
        self._job_id = job_id
        self._latest: datetime | None = None
        self._seen: set[tuple[str, datetime | None, str]] = set()
        # Detail messages are about the workers; they are read, but not passed on.
        is_detailed = until is Milestone.WORKERS_STARTED
        self._minimum = MessageImportance.DETAILED if is_detailed else MessageImportance.BASIC
        self.reports_workers = False

    def read(self) -> Sequence[JobMessage]:
        """Return the messages since the last call."""
        start_time = self._latest - self._LOOK_BACK if self._latest else None
        fresh = []
        for message in self._dataflow.messages(
            self._job_id, minimum_importance=self._minimum, start_time=start_time
        ):
            key = (message.id, message.time, message.message_text)
            if key in self._seen:
                continue
            self._seen.add(key)
            if message.time and (self._latest is None or message.time > self._latest):
                self._latest = message.time
            if _reports_workers(message):
                self.reports_workers = True
            if message.message_importance is not MessageImportance.DETAILED:
                fresh.append(message)
        return fresh


def _checked(dataflow: Dataflow, job: Job) -> Job:
    """Return a job that succeeded; raise the exception of one that did not."""
    if job.current_state.is_success:
        return job
    title = f"job {job.id} ({job.name})" if job.name else f"job {job.id}"
    if job.current_state is JobState.CANCELLED:
        raise JobCancelled(f"{title} was cancelled", job)
    errors = dataflow.messages(job.id, minimum_importance=MessageImportance.ERROR)[-3:]
    reasons = "\n".join(message.message_text.strip() for message in errors)
    raise JobFailed(f"{title} failed: {reasons or 'it left no error message'}", job, errors)
