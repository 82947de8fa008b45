"""Timers that wait, are set again, cleared, and fire."""

from __future__ import annotations

import pytest
from apache_beam.coders import BytesCoder
from apache_beam.coders.coders import _TimerCoder
from apache_beam.transforms.userstate import Timer
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import PANE_INFO_UNKNOWN

from launcher.emulator.executor.timers import Timers
from launcher.emulator.runtime.errors import WorkflowFailedError

CODER = _TimerCoder(BytesCoder(), GlobalWindows().get_window_coder()).get_impl()
FAMILY = ("Batch", "waited")


def encode(key: bytes, moment: float | None, tag: str = "") -> bytes:
    fire = None if moment is None else Timestamp(moment)
    timer = Timer(
        user_key=key,
        dynamic_timer_tag=tag,
        windows=(GlobalWindow(),),
        clear_bit=moment is None,
        fire_timestamp=fire,
        hold_timestamp=fire,
        paneinfo=PANE_INFO_UNKNOWN,
    )
    return CODER.encode_nested(timer)


@pytest.fixture
def timers():
    return Timers(lambda stage, family: CODER)


def fired(due):
    return {
        stage: {
            family: sorted(timer.user_key for timer in CODER.decode_all(b"".join(chunks)))
            for family, chunks in families.items()
        }
        for stage, families in due.items()
    }


def test_timers_fire_when_their_time_has_come(timers):
    timers.update("one", FAMILY, encode(b"a", 5) + encode(b"b", 7), event_time=False)
    timers.update("two", ("Other", "x"), encode(b"a", 6), event_time=False)
    assert timers.next_time() == Timestamp(5)
    assert timers.next_time({"Other"}) == Timestamp(6)
    assert fired(timers.take_due(Timestamp(4))) == {}
    assert fired(timers.take_due(Timestamp(6))) == {
        "one": {FAMILY: [b"a"]},
        "two": {("Other", "x"): [b"a"]},
    }
    assert fired(timers.take_due(Timestamp(9))) == {"one": {FAMILY: [b"b"]}}
    assert timers.next_time() is None


def test_a_timer_is_set_anew_and_cleared(timers):
    timers.update("one", FAMILY, encode(b"a", 5), event_time=False)
    timers.update("one", FAMILY, encode(b"a", 9), event_time=False)
    assert timers.next_time() == Timestamp(9)
    timers.update("one", FAMILY, encode(b"a", 5, tag="t"), event_time=False)
    timers.update("one", FAMILY, encode(b"a", None), event_time=False)
    assert timers.next_time() == Timestamp(5), "another tag is another timer"


def test_of_event_time_only_the_end_comes(timers):
    end = float(GlobalWindow().max_timestamp())
    timers.update("one", FAMILY, encode(b"a", end), event_time=True)
    assert timers.next_time() is None
    assert fired(timers.take_end()) == {"one": {FAMILY: [b"a"]}}
    assert fired(timers.take_end()) == {}
    with pytest.raises(WorkflowFailedError, match="'Batch' sets the event-time timer"):
        timers.update("one", FAMILY, encode(b"a", 5), event_time=True)
