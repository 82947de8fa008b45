"""The graph of the streaming template, as DataflowRunner submits it."""

from __future__ import annotations

import shutil

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.runners.dataflow.ptransform_overrides import get_dataflow_transform_overrides

from template.options import StreamConfig
from template.streaming import build_streaming_pipeline

FLAGS = [
    "--streaming",
    "--input_subscription=projects/some-project/subscriptions/images",
    "--output_topic=projects/some-project/topics/predictions",
    "--model_path=gs://bucket/model.pth",
]


@pytest.mark.parametrize(
    ("flags", "writes"),
    [
        (["--dead_letter_topic=projects/some-project/topics/letters"], 2),
        (["--dead_letter_output=gs://bucket/letters"], 1),
        (
            [
                "--dead_letter_output=gs://bucket/letters",
                "--model_update_pattern=gs://bucket/models/*",
            ],
            1,
        ),
    ],
)
def test_it_groups_nothing_and_leaves_pubsub_to_the_service(flags, writes):
    options = PipelineOptions([*FLAGS, *flags])
    pipeline = beam.Pipeline(options=options)
    build_streaming_pipeline(pipeline, StreamConfig.from_options(options))
    pipeline.replace_all(get_dataflow_transform_overrides(options))
    transforms = pipeline.to_runner_api().components.transforms.values()
    shutil.rmtree(pipeline.local_tempdir)  # Only running a pipeline removes it.
    urns = [transform.spec.urn for transform in transforms]
    assert common_urns.primitives.GROUP_BY_KEY.urn not in urns
    assert urns.count(common_urns.composites.PUBSUB_READ.urn) == 1
    assert urns.count(common_urns.composites.PUBSUB_WRITE.urn) == writes
