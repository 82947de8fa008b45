"""Pipelines as Beam writes them, read without Beam and laid out."""

from __future__ import annotations

import itertools

import apache_beam as beam
import pytest

from launcher.console.graph import lay_out, parse_pipeline
from launcher.emulator.executor.metrics import ElementCount, MetricNames


@pytest.fixture(scope="module")
def proto():
    pipeline = beam.Pipeline()
    words = pipeline | "Words" >> beam.Create(["a", "b"])
    long, short = words | "Split" >> beam.Partition(lambda word, count: len(word) % count, 2)
    counted = long | "Count" >> beam.combiners.Count.PerElement()
    spread = short | "Spread" >> beam.Reshuffle()
    _ = (counted | "Keys" >> beam.Keys(), spread) | "All" >> beam.Flatten()
    return pipeline.to_runner_api()


def test_steps_are_read_as_beam_wrote_them(proto):
    pipeline = parse_pipeline(proto.SerializeToString())
    named = {step.name for step in pipeline.walk(pipeline.roots)}
    assert [pipeline.steps[root].name for root in pipeline.roots] == [
        *("Words", "Split", "Count", "Spread", "Keys", "All"),
    ]
    above = {proto.root_transform_ids[0]}  # stands for the pipeline
    transforms = proto.components.transforms.values()
    assert named == {each.unique_name for each in transforms} - above


def test_collections_go_by_the_names_that_metrics_have(proto):
    names = MetricNames(proto.components)
    pipeline = parse_pipeline(proto.SerializeToString())
    for collection, name in pipeline.names.items():
        assert names.context(ElementCount(collection))[2]["output_user_name"] == name
    assert len(pipeline.names) > 5


def test_what_spreads_work_is_found(proto):
    *_, (before, after) = parse_pipeline(proto.SerializeToString()).list_spread()
    assert before.startswith("Split")
    assert after.startswith("Spread/")


@pytest.mark.parametrize("opened", [(), ("Words",), ("Count", "Spread"), ("nothing",)])
def test_boxes_do_not_overlap_and_lines_lead_down(proto, opened):
    picture = lay_out(parse_pipeline(proto.SerializeToString()), frozenset(opened))
    for one, other in itertools.combinations(picture.nodes, 2):
        apart = abs(one.x - other.x) >= one.width or abs(one.y - other.y) >= one.height
        assert apart, (one.label, other.label)
    for node in picture.nodes:
        assert 0 <= node.x <= picture.width - node.width
        assert 0 <= node.y <= picture.height - node.height
    assert len(picture.edges) >= 6
    for edge in picture.edges:
        heights = [float(word.split(",")[-1]) for word in edge.path.replace("V", " 0,").split()]
        assert heights[0] < heights[-1]
        assert edge.names


def test_what_is_no_pipeline_is_refused():
    for content in (b"\xff" * 20, b"{}"):
        with pytest.raises(ValueError, match="not a pipeline"):
            parse_pipeline(content)
    picture = lay_out(parse_pipeline(b""), frozenset())
    assert picture.nodes == ()
