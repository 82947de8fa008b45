"""Dataflow jobs: their states, messages, metrics and counters.

The records mirror ``Job``, ``JobMessage`` and ``MetricUpdate`` of the Dataflow REST API, with the
properties that the launcher uses:
https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.jobs
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any

from launcher.errors import ServiceError


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
        """Whether the job has ended and no longer changes."""
        return self in _ENDS_WELL

    @property
    def is_success(self) -> bool:
        """Whether the job succeeded."""
        return _ENDS_WELL.get(self, False)

    @property
    def is_staged(self) -> bool:
        """Whether the job's launcher has finished, so that the job's settings can be read."""
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
    """An image in which workers run the pipeline's code."""

    container_image: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkerPool:
    """The workers of a job."""

    machine_type: str = ""
    disk_size_gb: int = 0
    sdk_harness_container_images: tuple[SdkHarnessContainerImage, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A job's environment; reported with JOB_VIEW_ALL, once the launcher has staged the job."""

    experiments: tuple[str, ...] = ()
    service_options: tuple[str, ...] = ()
    sdk_pipeline_options: Mapping[str, Any] = field(default_factory=dict)
    worker_pools: tuple[WorkerPool, ...] = ()

    @property
    def options(self) -> Mapping[str, Any]:
        """The pipeline options, including the template's parameters."""
        options: Mapping[str, Any] = self.sdk_pipeline_options.get("options", {})
        return options


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job. Right after its launch the service may not report its state: UNKNOWN."""

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
    """What a metric is about: ``context`` holds step, namespace, and whether it is tentative."""

    name: str
    origin: str = ""
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric of a job, with the value that its kind has."""

    name: MetricStructuredName
    scalar: Any = None
    distribution: Any = None
    set: Any = None
    gauge: Any = None
    update_time: datetime | None = None

    @property
    def is_tentative(self) -> bool:
        """Whether it also counts work that may be repeated."""
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
    """The milestones of a job that one can wait for.

    Attributes:
        STAGED: its launcher has finished, and the service has accepted the job.
        WORKERS_STARTED: it has machines, and they work.
        ENDED: it has ended.
    """

    STAGED = "staged"
    WORKERS_STARTED = "workers started"
    ENDED = "ended"


class JobObserver:
    """Sees what ``wait_for_job`` sees, in its thread; override the methods that you need."""

    def on_job(self, job: Job) -> None:
        """Receive the job's current state."""

    def on_message(self, message: JobMessage) -> None:
        """Receive a message, each once, in order of arrival."""

    def on_metrics(self, metrics: Sequence[Metric]) -> None:
        """Receive all current metrics."""

    def on_outage(self, error: ServiceError) -> None:
        """Receive the reason why a poll failed; the waiting continues."""
