"""Streaming pipelines as DataflowRunner submits them."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import apache_beam as beam
from apache_beam.io.gcp.pubsub import ReadFromPubSub, WriteToPubSub
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.ptransform_overrides import get_dataflow_transform_overrides

TOPIC = "projects/some-project/topics/in"


def build(middle: Callable[[beam.PCollection], beam.PCollection]) -> beam_runner_api_pb2.Pipeline:
    """Return the proto of a pipeline from Pub/Sub to Pub/Sub."""
    options = PipelineOptions(["--streaming"])
    pipeline = beam.Pipeline(options=options)
    read = pipeline | "Read" >> ReadFromPubSub(topic=TOPIC, id_label="id")
    _ = middle(read) | "Write" >> WriteToPubSub(TOPIC)
    pipeline.replace_all(get_dataflow_transform_overrides(options))
    shutil.rmtree(pipeline.local_tempdir)  # Only running a pipeline removes the folder.
    return pipeline.to_runner_api()
