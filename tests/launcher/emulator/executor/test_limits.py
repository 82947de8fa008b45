"""Which streaming pipelines are refused, and for what reason."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.pvalue import AsList, AsSingleton
from apache_beam.transforms import userstate
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.trigger import (
    AccumulationMode,
    AfterCount,
    AfterProcessingTime,
    Repeatedly,
)
from apache_beam.transforms.util import GroupIntoBatches
from apache_beam.transforms.window import FixedWindows, GlobalWindows, Sessions, WindowFn

from launcher.emulator.executor.limits import check_limits
from launcher.emulator.runtime.errors import WorkflowFailedError
from template.model_swap import WatchModels
from template.sources.batching import BatchMessages
from tests.launcher.emulator.executor.pipelines import build

ALWAYS = Repeatedly(AfterCount(1))


def triggered(
    read: beam.PCollection, trigger=ALWAYS, mode=AccumulationMode.DISCARDING
) -> beam.PCollection:
    """Make Beam accept a grouping of a whole stream."""
    return read | beam.WindowInto(GlobalWindows(), trigger=trigger, accumulation_mode=mode)


def timed(name: str, domain: str) -> beam.ParDo:
    class Timed(beam.DoFn):
        TIMER = userstate.TimerSpec(name, domain)
        SET = beam.DoFn.TimerParam(TIMER)

        def process(self, element, timer=SET):
            timer.set(0)

        @userstate.on_timer(TIMER)
        def fire(self):
            yield b""

    return beam.ParDo(Timed())


def keyed(read: beam.PCollection) -> beam.PCollection:
    return read | beam.Map(lambda value: ("", value)).with_output_types(tuple[str, bytes])


def beside(read: beam.PCollection, side: object) -> beam.PCollection:
    """Give the stream a side input."""
    return read | "Beside" >> beam.Map(lambda value, side: value, side)


class Days(FixedWindows):
    """A WindowFn that Beam can only pickle."""

    def __init__(self):
        super().__init__(24 * 60 * 60)

    def to_runner_api_parameter(self, context):
        return WindowFn.to_runner_api_parameter(self, context)


REFUSED = {
    "group": (
        lambda read: (
            triggered(read)
            | beam.WithKeys(0)
            | "Group" >> beam.GroupByKey()
            | beam.Map(lambda kv: b"")
        ),
        "the step 'Group' groups by key",
    ),
    "combine": (
        lambda read: (
            triggered(read) | beam.WithKeys(0) | "Top" >> beam.CombinePerKey(max) | beam.Values()
        ),
        "the step 'Top' combines by key",
    ),
    "fixed windows": (
        lambda read: read | "Minutes" >> beam.WindowInto(FixedWindows(60)),
        "the step 'Minutes' puts elements into windows (beam:window_fn:fixed_windows:v1)",
    ),
    "sessions": (
        lambda read: read | "Visits" >> beam.WindowInto(Sessions(60)) | beam.Map(bytes),
        "the step 'Visits' puts elements into windows (beam:window_fn:session_windows:v1)",
    ),
    "own windows": (
        lambda read: read | "Days" >> beam.WindowInto(Days()),
        "the step 'Days' puts elements into windows (of a WindowFn of its own)",
    ),
    "event-time timer": (
        lambda read: keyed(read) | "Expire" >> timed("expiry", TimeDomain.WATERMARK),
        "the step 'Expire' has the event-time timer 'expiry'",
    ),
    "side input of a stream": (
        lambda read: beside(read, AsList(read)),
        "the step 'Beside' has a side input that is made from a stream and has no trigger",
    ),
    "late trigger": (
        lambda read: beside(
            read, AsSingleton(triggered(read, Repeatedly(AfterProcessingTime(60))))
        ),
        "the step 'Beside' has a side input with a trigger other than Repeatedly(AfterCount(1))",
    ),
    "counting trigger": (
        lambda read: beside(read, AsList(triggered(read, Repeatedly(AfterCount(10))))),
        "the step 'Beside' has a side input with a trigger other than Repeatedly(AfterCount(1))",
    ),
    "one firing": (
        lambda read: beside(read, AsList(triggered(read, AfterProcessingTime(0)))),
        "the step 'Beside' has a side input with a trigger other than Repeatedly(AfterCount(1))",
    ),
    "accumulation": (
        lambda read: beside(read, AsList(triggered(read, mode=AccumulationMode.ACCUMULATING))),
        "the step 'Beside' has a side input that accumulates",
    ),
}


@pytest.mark.parametrize(("middle", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_needs_more_is_refused_with_step_and_reason(middle, reason):
    with pytest.raises(WorkflowFailedError) as info:
        check_limits(build(middle), streaming=True)
    text = str(info.value)
    assert f"though Dataflow can: {reason}" in text
    assert text.count("the step ") == 1, "not the steps inside it, or after it"


EXECUTED = {
    "map": lambda read: read | beam.Map(bytes.upper),
    "reshuffle": lambda read: read | beam.Reshuffle(),
    "batches of Beam": lambda read: (
        keyed(read) | GroupIntoBatches(10, 1) | beam.Map(lambda kv: b"".join(kv[1]))
    ),
    "processing-time timer": lambda read: keyed(read) | timed("later", TimeDomain.REAL_TIME),
    "the end of the window": lambda read: keyed(read) | timed("window_end", TimeDomain.WATERMARK),
    "a bounded side input": lambda read: beside(
        read, AsList(read.pipeline | beam.Create([1], reshuffle=False))
    ),
    "a side input that changes": lambda read: beside(
        read, AsSingleton(triggered(read, Repeatedly(AfterProcessingTime(1))))
    ),
    "model updates": lambda read: beside(
        read, AsSingleton(read.pipeline | WatchModels("gs://bucket/*", "gs://bucket/model"))
    ),
    "batches of the template": lambda read: (
        read | BatchMessages(10, 100) | beam.Map(lambda batch: b"")
    ),
}


@pytest.mark.parametrize("middle", EXECUTED.values(), ids=EXECUTED)
def test_what_needs_no_watermark_is_executed(middle):
    check_limits(build(middle), streaming=True)
