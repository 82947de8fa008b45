"""The Pub/Sub steps of a pipeline, and the steps that replace them."""

from __future__ import annotations

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import fn_runner

from launcher.emulator.executor.pubsub_steps import PubSubSteps, open_channels, simplify
from tests.launcher.emulator.executor.pipelines import TOPIC, build


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
