"""Events arrive through the executor's pipes exactly as written."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from launcher.emulator.runtime.events import (
    AcknowledgedEvent,
    EventWriter,
    GarbledEventsError,
    Importance,
    MessageEvent,
    MetricsEvent,
    StateEvent,
    SubscriptionEvent,
    read_events,
)
from launcher.emulator.runtime.execution import Execution, Preparation, WorkerCommand
from launcher.emulator.runtime.states import JobState

WORKER = WorkerCommand(python="/env/bin/python", workdir="/template", process_env={"A": "b"})


def test_events_arrive_as_they_were_written() -> None:
    stream = io.BytesIO()
    events = [
        StateEvent(JobState.RUNNING),
        MessageEvent(Importance.BASIC, "two\nlines, één event"),
        MetricsEvent([{"scalar": 1}]),
        AcknowledgedEvent([{"scalar": 2}]),
        SubscriptionEvent("projects/p/subscriptions/s"),
    ]
    for event in events:
        EventWriter(stream).report(event)
    stream.seek(0)
    arrived = list(read_events(stream))
    assert arrived == events
    assert isinstance(arrived[0], StateEvent)
    assert arrived[0].state is JobState.RUNNING


@pytest.mark.parametrize(
    "line",
    [
        b"Segmentation fault\n",
        b'"text"\n',
        b'{"event": "party"}\n',
        b'{"event": "state"}\n',
        b'{"event": "state", "state": "JOB_STATE_ON_HOLIDAY"}\n',
        b'{"event": "message", "importance": "LOUD", "text": "hello"}\n',
        b'{"event": "state", "state": "JOB_STATE_RUNNING", "more": 1}\n',
        b'{"event": "state", "sta',
    ],
)
def test_what_is_not_an_event_is_refused(line: bytes) -> None:
    good = b'{"event": "state", "state": "JOB_STATE_RUNNING"}\n'
    events = read_events([good, line])
    assert next(events) == StateEvent(JobState.RUNNING)
    with pytest.raises(GarbledEventsError, match="not an event: b"):
        next(events)


def test_the_executors_input_arrives_as_it_was_written() -> None:
    execution = Execution(
        run_dir=Path("/runs/1"), options={"a": 1.0}, workers={"local/x": WORKER}, num_workers=2
    )
    assert Execution.from_line(execution.to_line()) == execution
    for worker in (WORKER, None):
        preparation = Preparation(run_dir=Path("/runs/1"), umask=0o022, worker=worker)
        assert Preparation.from_line(preparation.to_line()) == preparation
