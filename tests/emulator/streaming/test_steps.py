"""Which streaming pipelines are executed, and how the others are refused."""

from __future__ import annotations

from collections.abc import Callable

import apache_beam as beam
import pytest
from apache_beam.io.gcp.pubsub import ReadFromPubSub, WriteToPubSub
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.ptransform_overrides import get_dataflow_transform_overrides
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, Repeatedly
from apache_beam.transforms.window import FixedWindows, GlobalWindows

from launcher.emulator.executor.errors import UnsupportedPipelineError
from launcher.emulator.executor.pubsub_steps import PubSubSteps, open_channels, simplify

TOPIC = "projects/some-project/topics/in"


def build(middle: Callable[[beam.PCollection], beam.PCollection]) -> beam_runner_api_pb2.Pipeline:
    """Return a pipeline as DataflowRunner submits it."""
    options = PipelineOptions(["--streaming"])
    pipeline = beam.Pipeline(options=options)
    read = pipeline | "Read" >> ReadFromPubSub(topic=TOPIC, id_label="id")
    _ = middle(read) | "Write" >> WriteToPubSub(TOPIC)
    pipeline.replace_all(get_dataflow_transform_overrides(options))
    return pipeline.to_runner_api()


def triggered(read: beam.PCollection) -> beam.PCollection:
    """Let Beam accept a grouping of a whole stream."""
    trigger = Repeatedly(AfterCount(1))
    return read | beam.WindowInto(
        GlobalWindows(), trigger=trigger, accumulation_mode=AccumulationMode.DISCARDING
    )


@pytest.mark.parametrize(
    ("middle", "reason"),
    [
        (
            lambda read: (
                triggered(read)
                | beam.WithKeys(0)
                | "Group" >> beam.GroupByKey()
                | beam.Map(lambda kv: b"")
            ),
            "the step 'Group' groups by key",
        ),
        (
            lambda read: (
                triggered(read)
                | beam.WithKeys(0)
                | "Top" >> beam.CombinePerKey(max)
                | beam.Values()
            ),
            "the step 'Top' combines by key",
        ),
        (
            lambda read: read | "Minutes" >> beam.WindowInto(FixedWindows(60)),
            "the step 'Minutes' assigns or keeps windows",
        ),
    ],
    ids=["group", "combine", "windows"],
)
def test_what_needs_more_is_refused_with_the_step(middle, reason):
    with pytest.raises(UnsupportedPipelineError, match=reason) as info:
        simplify(build(middle))
    assert "though Dataflow can" in str(info.value)


def test_reads_and_writes_become_channels_and_a_reshuffle_is_left_out():
    pipeline = build(lambda read: read | "Spread" >> beam.Reshuffle() | beam.Map(bytes.upper))
    steps = PubSubSteps.find(pipeline)
    assert steps.reads["Read/Read"].topic == TOPIC
    assert steps.reads["Read/Read"].id_attribute == "id"
    ((write, payload),) = steps.writes.items()
    assert payload.topic == TOPIC

    context, stages = fn_runner.FnApiRunner().create_stages(simplify(pipeline))
    open_channels(context, stages, steps)

    (stage,) = stages
    kinds = {each.unique_name: each.spec.urn for each in stage.transforms}
    assert kinds["Read/Read"] == "beam:runner:source:v1"
    assert kinds[write] == "beam:runner:sink:v1"
    assert not any("Spread" in name for name in kinds)
