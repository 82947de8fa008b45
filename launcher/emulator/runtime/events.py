"""The reports of a run, which the executor process sends as JSON lines on a pipe.

Every report is one of these records and goes through one function, ``Report``, from the worker's
log to the job store. Standard library only: the executor process shares this module.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any, TypeAlias

from launcher.emulator.runtime.states import JobState

Updates: TypeAlias = Sequence[Mapping[str, Any]]
"""Records ``MetricUpdate``."""


class Importance(StrEnum):
    """Importances of job messages, in ascending order."""

    DEBUG = "JOB_MESSAGE_DEBUG"
    DETAILED = "JOB_MESSAGE_DETAILED"
    BASIC = "JOB_MESSAGE_BASIC"
    WARNING = "JOB_MESSAGE_WARNING"
    ERROR = "JOB_MESSAGE_ERROR"


class GarbledEventsError(ValueError):
    """A line of the stream is not an event."""


@dataclass(frozen=True)
class StagedEvent:
    """The launcher has staged this ``Job``."""

    job: Mapping[str, Any]


@dataclass(frozen=True)
class StateEvent:
    """The job is PENDING, RUNNING, DONE, DRAINED or FAILED."""

    state: JobState


@dataclass(frozen=True)
class MessageEvent:
    """A job message."""

    importance: Importance
    text: str


@dataclass(frozen=True)
class MetricsEvent:
    """These metrics replace the job's."""

    metrics: Updates


@dataclass(frozen=True)
class AcknowledgedEvent:
    """These metrics belong to messages being acknowledged: no successor reads them again."""

    metrics: Updates


@dataclass(frozen=True)
class UsageEvent:
    """The usage of the job's processes: mean cores since the last report, and current memory."""

    cores: float
    memory_bytes: int


@dataclass(frozen=True)
class SubscriptionEvent:
    """The executor creates a subscription only for this job; the run deletes it."""

    subscription: str


@dataclass(frozen=True)
class WorkersEvent:
    """The job's number of workers has changed; ``text`` is the service's message about it."""

    count: int
    text: str


Event: TypeAlias = (
    StagedEvent
    | StateEvent
    | MessageEvent
    | MetricsEvent
    | AcknowledgedEvent
    | SubscriptionEvent
    | UsageEvent
    | WorkersEvent
)
Report: TypeAlias = Callable[[Event], None]
"""Receives a run's reports; called from any thread."""

_KINDS: Mapping[str, type[Event]] = {
    "state": StateEvent,
    "message": MessageEvent,
    "metrics": MetricsEvent,
    "acknowledged": AcknowledgedEvent,
    "subscription": SubscriptionEvent,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_ENUMS: Mapping[str, type[StrEnum]] = {"state": JobState, "importance": Importance}


class EventWriter:
    """Writes events; thread-safe, flushes each event."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def report(self, event: Event) -> None:
        record = {"event": _NAMES[type(event)], **dataclasses.asdict(event)}
        line = json.dumps(record).encode() + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


def read_events(stream: Iterable[bytes]) -> Iterator[Event]:
    """Yield events until the stream ends.

    Raises:
        GarbledEventsError: a line is not an event.
    """
    for line in stream:
        try:
            record = json.loads(line)
            kind = _KINDS[record.pop("event")]
            event = kind(**{name: _parse(name, value) for name, value in record.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GarbledEventsError(f"not an event: {line[:200]!r}") from error
        yield event


def _parse(name: str, value: Any) -> Any:
    return _ENUMS[name](value) if name in _ENUMS else value
