"""Submits one streaming pipeline with Beam's DataflowRunner, and prints the job's id.

Run as ``stream_program.py NAME ENDPOINT PROJECT ROOT INPUT OUTPUT``. It reads the topic INPUT, with
deduplication by attribute ``id`` and timestamps of attribute ``at``, publishes to OUTPUT what step
NAME makes of the messages, and counts them.
"""

import sys

import apache_beam as beam
from apache_beam.io.gcp.pubsub import ReadFromPubSub, WriteToPubSub
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, Repeatedly
from apache_beam.transforms.userstate import TimerSpec, on_timer
from apache_beam.transforms.util import GroupIntoBatches
from apache_beam.transforms.window import FixedWindows, GlobalWindows

name, endpoint, project, root, topic, output = sys.argv[1:]


class Expire(beam.DoFn):
    """Sets an event-time timer if it ever gets a message."""

    SPEC = TimerSpec("expiry", TimeDomain.WATERMARK)
    EXPIRY = beam.DoFn.TimerParam(SPEC)

    def process(self, element, expiry=EXPIRY):
        expiry.set(0)

    @on_timer(SPEC)
    def expire(self):
        yield b"expired"


SEEN = Metrics.counter("program", "seen")


def stamp(data, timestamp=beam.DoFn.TimestampParam):
    SEEN.inc()
    return b"%s at %d ms" % (data, timestamp.micros // 1000)


def key(data):
    SEEN.inc()
    return "", data


def group(messages):
    return (
        messages
        | beam.WindowInto(
            GlobalWindows(),
            trigger=Repeatedly(AfterCount(1)),
            accumulation_mode=AccumulationMode.DISCARDING,
        )
        | beam.Map(key)
        | "Group" >> beam.GroupByKey()
        | beam.MapTuple(lambda _, values: b" ".join(values))
    )


STEPS = {
    "stamp": lambda messages: messages | beam.Map(stamp),
    "window": lambda messages: messages | "Minutes" >> beam.WindowInto(FixedWindows(60)),
    "timer": lambda messages: (
        messages
        | beam.Map(key).with_output_types(tuple[str, bytes])
        | "Expire" >> beam.ParDo(Expire())
    ),
    "group": group,
    "batch": lambda messages: (
        messages
        | beam.Map(key).with_output_types(tuple[str, bytes])
        | GroupIntoBatches(10)
        | beam.MapTuple(lambda _, values: b" ".join(sorted(values)))
    ),
}

pipeline = beam.Pipeline(
    options=PipelineOptions(
        [],  # not the arguments above
        runner="DataflowRunner",
        dataflow_endpoint=endpoint,
        project=project,
        region="us-central1",
        job_name=f"stream-{name}",
        temp_location=f"{root}/temp",
        sdk_container_image="local/flexpack",
        pickle_library="cloudpickle",
        streaming=True,
    )
)
messages = pipeline | "Read" >> ReadFromPubSub(topic=topic, id_label="id", timestamp_attribute="at")
_ = STEPS[name](messages) | "Write" >> WriteToPubSub(output)
print(pipeline.run().job_id())
