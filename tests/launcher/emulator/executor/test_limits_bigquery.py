"""Which pipelines are refused because of the services that they need."""

from __future__ import annotations

import shutil

import apache_beam as beam
import pytest
from apache_beam.io.gcp.bigquery import ReadFromBigQuery, WriteToBigQuery
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2

from launcher.emulator.executor.limits import check_limits
from launcher.emulator.runtime.errors import WorkflowFailedError

TABLE = "some-project:orders.totals"
FOLDER = "gs://some-bucket/temp"


class Report(beam.PTransform):
    """A user's own step around Beam's."""

    def expand(self, rows: beam.PCollection) -> object:
        return rows | "Load" >> WriteToBigQuery(
            TABLE, schema="customer:STRING", custom_gcs_temp_location=FOLDER
        )


def build(*steps: beam.PTransform) -> beam_runner_api_pb2.Pipeline:
    pipeline = beam.Pipeline(options=PipelineOptions(["--project=some-project"]))
    pcollection = pipeline
    for step in steps:
        pcollection |= step
    shutil.rmtree(pipeline.local_tempdir)  # Only running a pipeline removes the folder.
    return pipeline.to_runner_api()


def test_bigquery_steps_are_refused_by_name() -> None:
    read = ReadFromBigQuery(table=TABLE, gcs_location=FOLDER)
    with pytest.raises(WorkflowFailedError) as refused:
        check_limits(build("Orders" >> read, "Report" >> Report()), streaming=False)
    assert "has no BigQuery" in str(refused.value)
    assert "the steps 'Orders', 'Report/Load' would call Google's" in str(refused.value)


def test_other_steps_pass() -> None:
    write = beam.io.WriteToText("gs://some-bucket/totals")
    pipeline = build(beam.io.ReadFromText(FOLDER, validate=False), "Report" >> write)
    check_limits(pipeline, streaming=False)
