"""Dataflow jobs: their states, records, counters, and waiting for one to end.

The records mirror ``Job``, ``JobMessage`` and ``MetricUpdate`` of the Dataflow REST API, with the
properties that the launcher uses:
https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.jobs
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from launcher.errors import JobCancelled, JobFailed, JobTimeout, ServiceError

if TYPE_CHECKING:
    from launcher.jobs.dataflow import Dataflow


class JobState(StrEnum):
    """``Job.currentState``. A state that this version does not know reads as UNKNOWN."""

    UNKNOWN = "JOB_STATE_UNKNOWN"
    STOPPED = "JOB_STATE_STOPPED"
    QUEUED = "JOB_STATE_QUEUED"
    PENDING = "JOB_STATE_PENDING"
    RUNNING = "JOB_STATE_RUNNING"
    PAUSING = "JOB_STATE_PAUSING"
    PAUSED = "JOB_STATE_PAUSED"
    DRAINING = "JOB_STATE_DRAINING"
    CANCELLING = "JOB_STATE_CANCELLING"
    RESOURCE_CLEANING_UP = "JOB_STATE_RESOURCE_CLEANING_UP"
    DONE = "JOB_STATE_DONE"
    UPDATED = "JOB_STATE_UPDATED"
    DRAINED = "JOB_STATE_DRAINED"
    FAILED = "JOB_STATE_FAILED"
    CANCELLED = "JOB_STATE_CANCELLED"

    @classmethod
    def _missing_(cls, value: object) -> JobState:
        return cls.UNKNOWN

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended, and will not change any more."""
        return self in _ENDS_WELL

    @property
    def is_success(self) -> bool:
        """Whether the job has ended well."""
        return _ENDS_WELL.get(self, False)

    @property
    def is_staged(self) -> bool:
        """Whether the job's launcher is through, so that the job's settings can be read."""
        return self not in (JobState.UNKNOWN, JobState.STOPPED, JobState.QUEUED)


# The states in which a job has ended, and whether that is a success.
_ENDS_WELL: Mapping[JobState, bool] = {
    JobState.DONE: True,
    JobState.UPDATED: True,
    JobState.DRAINED: True,
    JobState.FAILED: False,
    JobState.CANCELLED: False,
}


class MessageImportance(StrEnum):
    """``JobMessage.messageImportance``, least first."""

    UNKNOWN = "JOB_MESSAGE_IMPORTANCE_UNKNOWN"
    DEBUG = "JOB_MESSAGE_DEBUG"
    DETAILED = "JOB_MESSAGE_DETAILED"
    BASIC = "JOB_MESSAGE_BASIC"
    WARNING = "JOB_MESSAGE_WARNING"
    ERROR = "JOB_MESSAGE_ERROR"

    @classmethod
    def _missing_(cls, value: object) -> MessageImportance:
        return cls.UNKNOWN


@dataclass(frozen=True, kw_only=True)
class SdkHarnessContainerImage:
    """An image that workers run the pipeline's code in."""

    container_image: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkerPool:
    """The workers of a job."""

    machine_type: str = ""
    disk_size_gb: int = 0
    sdk_harness_container_images: tuple[SdkHarnessContainerImage, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a job runs on; told with JOB_VIEW_ALL, once the launcher has staged the job."""

    experiments: tuple[str, ...] = ()
    service_options: tuple[str, ...] = ()
    sdk_pipeline_options: Mapping[str, Any] = field(default_factory=dict)
    worker_pools: tuple[WorkerPool, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job. Right after its launch the service may not tell its state, which reads as UNKNOWN."""

    id: str
    name: str = ""
    project_id: str = ""
    location: str = ""
    type: str | None = None
    current_state: JobState = JobState.UNKNOWN
    current_state_time: datetime | None = None
    create_time: datetime | None = None
    start_time: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Environment | None = None


@dataclass(frozen=True, kw_only=True)
class JobMessage:
    """A message of a job."""

    id: str = ""
    time: datetime | None = None
    message_text: str = ""
    message_importance: MessageImportance = MessageImportance.UNKNOWN


@dataclass(frozen=True, kw_only=True)
class MetricStructuredName:
    """What a metric is about: ``context`` holds its step, namespace, and whether tentative."""

    name: str
    origin: str = ""
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric of a job, with the one of its values that its kind has."""

    name: MetricStructuredName
    scalar: Any = None
    distribution: Any = None
    set: Any = None
    gauge: Any = None
    update_time: datetime | None = None

    @property
    def is_tentative(self) -> bool:
        """Whether it also counts work that may yet be repeated."""
        return self.name.context.get("tentative") == "true"


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """The counters of the kit's templates; ``rows_read = predictions + dead_letters``."""

    rows_read: int = 0
    predictions: int = 0
    dead_letters: int = 0

    @classmethod
    def from_metrics(cls, metrics: Iterable[Metric]) -> RowCounts:
        """Add up the committed counters of namespace ``flexpack``."""
        totals = {"rows_read": 0, "predictions": 0, "dead_letters": 0}
        for metric in metrics:
            name = metric.name
            if (
                name.context.get("namespace") == "flexpack"
                and name.name in totals
                and metric.scalar is not None
                and not metric.is_tentative
            ):
                totals[name.name] += int(metric.scalar)
        return cls(**totals)


class Milestone(Enum):
    """How far a job comes, as far as one can wait for it.

    Attributes:
        STAGED: its launcher is through and the service has taken the job on.
        WORKERS_STARTED: there were machines for it, and they work.
        ENDED: it has ended.
    """

    STAGED = "staged"
    WORKERS_STARTED = "workers started"
    ENDED = "ended"


class JobObserver(Protocol):
    """Is told what ``wait_for_job`` sees. Called from the waiting thread, at every poll."""

    def on_job(self, job: Job) -> None:
        """Take the job as it is now."""

    def on_message(self, message: JobMessage) -> None:
        """Take a message, each once, in the order in which they arrive."""

    def on_metrics(self, metrics: Sequence[Metric]) -> None:
        """Take all metrics as they are now."""

    def on_outage(self, error: ServiceError) -> None:
        """Take the reason why this poll learnt nothing; the waiting goes on."""


def wait_for_job(
    dataflow: Dataflow,
    job_id: str,
    *,
    until: Milestone = Milestone.ENDED,
    timeout_sec: float = 24 * 60 * 60,
    poll_interval_sec: float = 5.0,
    outage_limit_sec: float = 300.0,
    observer: JobObserver | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Job:
    """Wait until a job has come so far or has ended well, and return it.

    Blocks. Polls fast at first, because a job on the local Dataflow takes seconds, then every
    ``poll_interval_sec``.

    Args:
        until: a streaming job ends only when somebody drains or cancels it.
        timeout_sec: how long to wait for the job; it goes on running when that is over.
        outage_limit_sec: how long Dataflow may be out of reach before the waiting gives up.

    Raises:
        JobFailed: it failed; carries its last error messages.
        JobCancelled: it was cancelled.
        JobTimeout: it has not come so far in time.
        ServiceError: Dataflow refused to tell, or was out of reach for too long.
    """
    tail = _MessageTail(dataflow, job_id, until)
    started = reached = clock()
    while True:
        now = clock()
        try:
            job = dataflow.get(job_id)
            messages = tail.read() if observer or until is Milestone.WORKERS_STARTED else ()
            if observer:  # What led to a state comes before it.
                for message in messages:
                    observer.on_message(message)
                observer.on_metrics(dataflow.metrics(job_id))
                observer.on_job(job)
            if job.current_state.is_terminal:
                return _checked(dataflow, job)
            if until is Milestone.STAGED and job.current_state.is_staged:
                return job
            if until is Milestone.WORKERS_STARTED and tail.tells_of_workers:
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
                f"job {job_id} is {job.current_state} after {timeout_sec:g} s of waiting and goes "
                f"on running; stop it with 'flexpack jobs cancel {job_id}'",
                job,
            )
        pace = min(poll_interval_sec, 0.5 + (now - started) / 20)
        sleep(min(pace, started + timeout_sec - now))


def have_workers_started(dataflow: Dataflow, job_id: str) -> bool:
    """Tell whether a job has come so far that workers started. Blocks for a request or a few."""
    messages = dataflow.messages(job_id, minimum_importance=MessageImportance.DETAILED)
    return any(_tells_of_workers(message) for message in messages)


def _tells_of_workers(message: JobMessage) -> bool:
    return message.message_text.startswith(_WORKERS_STARTED)


# The service's words: when the machines are there, and when the workers on them are. Benchmarks of
# Beam and of Google's templates take the second as the start of the work. Both have been DETAILED.
_WORKERS_STARTED = (
    "Workers have started successfully",
    "All workers have finished the startup processes",
)


class _MessageTail:
    """Reads each message of a job once."""

    # Messages of the same moment may become visible apart: look back a little.
    _LOOK_BACK = timedelta(seconds=60)

    def __init__(self, dataflow: Dataflow, job_id: str, until: Milestone) -> None:
        self._dataflow = dataflow
        self._job_id = job_id
        self._latest: datetime | None = None
        self._seen: set[tuple[str, datetime | None, str]] = set()
        # Detail is read for what it tells of the workers, and not passed on.
        is_detailed = until is Milestone.WORKERS_STARTED
        self._minimum = MessageImportance.DETAILED if is_detailed else MessageImportance.BASIC
        self.tells_of_workers = False

    def read(self) -> Sequence[JobMessage]:
        """Return the messages that came since the last call."""
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
            if _tells_of_workers(message):
                self.tells_of_workers = True
            if message.message_importance is not MessageImportance.DETAILED:
                fresh.append(message)
        return fresh


def _checked(dataflow: Dataflow, job: Job) -> Job:
    """Return a job that has ended well, and raise what fits one that has not."""
    if job.current_state.is_success:
        return job
    title = f"job {job.id} ({job.name})" if job.name else f"job {job.id}"
    if job.current_state is JobState.CANCELLED:
        raise JobCancelled(f"{title} was cancelled", job)
    errors = dataflow.messages(job.id, minimum_importance=MessageImportance.ERROR)[-3:]
    reasons = "\n".join(message.message_text.strip() for message in errors)
    raise JobFailed(f"{title} failed: {reasons or 'it left no error message'}", job, errors)
