"""What the executor reports: JSON lines on a one-way pipe.

Written by the executor's threads, read by one thread of the emulator. Of the words, states and
importances are Dataflow's, metrics are its ``MetricUpdate``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

DEBUG = "JOB_MESSAGE_DEBUG"
DETAILED = "JOB_MESSAGE_DETAILED"
BASIC = "JOB_MESSAGE_BASIC"
WARNING = "JOB_MESSAGE_WARNING"
ERROR = "JOB_MESSAGE_ERROR"

PENDING = "JOB_STATE_PENDING"
RUNNING = "JOB_STATE_RUNNING"
DONE = "JOB_STATE_DONE"
DRAINED = "JOB_STATE_DRAINED"
FAILED = "JOB_STATE_FAILED"


class GarbledEventsError(ValueError):
    """A line of the stream is not an event."""


@dataclass(frozen=True)
class StateEvent:
    state: str


@dataclass(frozen=True)
class MessageEvent:
    importance: str
    text: str


@dataclass(frozen=True)
class MetricsEvent:
    metrics: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class AcknowledgedEvent:
    """These metrics are of messages that are being acknowledged: no successor reads them again."""

    metrics: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class SubscriptionEvent:
    """The executor makes a subscription for this job alone; who ends the job deletes it."""

    subscription: str


Event = StateEvent | MessageEvent | MetricsEvent | AcknowledgedEvent | SubscriptionEvent
_KINDS: Mapping[str, type[Event]] = {
    "state": StateEvent,
    "message": MessageEvent,
    "metrics": MetricsEvent,
    "acknowledged": AcknowledgedEvent,
    "subscription": SubscriptionEvent,
}


class EventWriter:
    """Writes events; thread-safe, and each is flushed as it is written."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def state(self, state: str) -> None:
        self._write("state", {"state": state})

    def message(self, importance: str, text: str) -> None:
        self._write("message", {"importance": importance, "text": text})

    def metrics(self, metrics: Sequence[Mapping[str, Any]]) -> None:
        self._write("metrics", {"metrics": metrics})

    def acknowledged(self, metrics: Sequence[Mapping[str, Any]]) -> None:
        self._write("acknowledged", {"metrics": metrics})

    def subscription(self, subscription: str) -> None:
        self._write("subscription", {"subscription": subscription})

    def _write(self, kind: str, fields: Mapping[str, Any]) -> None:
        line = json.dumps({"event": kind, **fields}).encode() + b"\n"
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
            event = _KINDS[record.pop("event")](**record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GarbledEventsError(f"not an event: {line[:200]!r}") from error
        yield event
