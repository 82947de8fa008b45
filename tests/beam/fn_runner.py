"""Beam's FnApiRunnerTest, whose pipelines DataflowRunner submits to the local Dataflow."""

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import fn_runner_test

from tests.beam.plugin import OPTIONS


@pytest.mark.local_dataflow
class TestOnLocalDataflow(fn_runner_test.FnApiRunnerTest):
    def create_pipeline(self, is_drain=False):
        if is_drain:
            self.skipTest("drains a batch pipeline, which Dataflow does not")
        return beam.Pipeline(options=PipelineOptions([], runner="DataflowRunner", **OPTIONS))
