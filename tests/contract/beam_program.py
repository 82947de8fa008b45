"""Submits two pipelines with Beam's DataflowRunner: waits for one, cancels the other.

Run as ``beam_program.py ENDPOINT PROJECT REGION ROOT``; the last line that it prints is JSON.
"""

import json
import sys
import time

import apache_beam as beam
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError

endpoint, project, region, root = sys.argv[1:]


def run(name, function):
    options = PipelineOptions(
        runner="DataflowRunner",
        dataflow_endpoint=endpoint,
        project=project,
        region=region,
        job_name=name,
        temp_location=f"{root}/temp",
        sdk_container_image="contract/count.py",
    )
    pipeline = beam.Pipeline(options=options)
    pipeline | beam.Create(range(4)) | "Work" >> beam.Map(function)
    return pipeline.run()


def count(number):
    Metrics.counter("direct", "rows").inc()
    Metrics.distribution("direct", "sizes").update(number)


def sleep(number):
    time.sleep(600)


sleeping = run("direct-sleeping", sleep)
try:
    run("direct-sleeping", sleep)
    refusal = ""
except DataflowJobAlreadyExistsError as error:
    refusal = str(error)
counting = run("direct-counting", count)
waited = counting.wait_until_finish()
metrics = counting.metrics()
(rows,) = metrics.query(MetricsFilter().with_name("rows"))["counters"]
(sizes,) = metrics.query(MetricsFilter().with_name("sizes"))["distributions"]
cancelled = sleeping.cancel()
print(
    json.dumps(
        {
            "refusal": refusal,
            "ids": [counting.job_id(), sleeping.job_id()],
            "states": [waited, counting.state, cancelled],
            "rows": [rows.key.step, rows.committed, rows.attempted],
            "sizes": [sizes.committed.count, sizes.committed.sum, sizes.committed.max],
        }
    )
)
