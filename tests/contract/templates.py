"""Entry files of the Flex Templates that the contract tests launch, by file name."""

from pathlib import Path

COUNT = """
import logging

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions


class Options(PipelineOptions):
    @classmethod
    def _add_argparse_args(cls, parser):
        parser.add_argument("--output")


def count(number):
    Metrics.counter("contract", "rows").inc()
    Metrics.distribution("contract", "sizes").update(number)
    if number == 2:
        logging.warning("two is here")
    return number


if __name__ == "__main__":
    options = PipelineOptions()
    with beam.Pipeline(options=options) as pipeline:  # Waits at its end: harmless in a template.
        rows = pipeline | "Make" >> beam.Create(range(3)) | "Count" >> beam.Map(count)
        rows | "Write" >> beam.io.WriteToText(options.view_as(Options).output)
"""

ASKS_FOR_METRICS = """
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

pipeline = beam.Pipeline(options=PipelineOptions())
pipeline | beam.Create([1])
pipeline.run().metrics().query()
"""

OVERWRITES_RUNNER = """
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

options = PipelineOptions()
options.view_as(StandardOptions).runner = "FnApiRunner"
with beam.Pipeline(options=options) as pipeline:
    pipeline | beam.Create([1])
"""

OVERWRITES_JOB_NAME = """
import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

options = PipelineOptions()
options.view_as(GoogleCloudOptions).job_name = "mine"
with beam.Pipeline(options=options) as pipeline:
    pipeline | beam.Create([1])
"""

HOLDS = """
import time

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

with beam.Pipeline(options=PipelineOptions()) as pipeline:
    pipeline | beam.Create([1]) | beam.Map(lambda _: time.sleep(600))  # Somebody cancels it.
"""

SOURCES = {
    "count.py": COUNT,
    "asks_for_metrics.py": ASKS_FOR_METRICS,
    "holds.py": HOLDS,
    "overwrites_runner.py": OVERWRITES_RUNNER,
    "overwrites_job_name.py": OVERWRITES_JOB_NAME,
    "wide.py": Path(__file__).with_name("wide_program.py").read_text(),
}
