"""The graph of the streaming template, as DataflowRunner submits it."""

from __future__ import annotations

import shutil

import apache_beam as beam
import orjson
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.runners.dataflow.ptransform_overrides import get_dataflow_transform_overrides
from apache_beam.testing.util import assert_that, equal_to

from template.blocks import KEY
from template.inference import ApplyModel
from template.messages import REPLY_COLUMNS, Message, Messages
from template.model import BaseModel
from template.options import StreamConfig
from template.sinks.replies import FormatReplies
from template.sources.messages import DecodeMessages, MessageSettings
from template.streaming import build_streaming_pipeline

FLAGS = [
    "--streaming",
    "--input_subscription=projects/some-project/subscriptions/images",
    "--output_topic=projects/some-project/topics/predictions",
    "--model_path=gs://bucket/model.pth",
    "--model_class=template.models.fashion_mnist:FashionMnistModel",
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
    shutil.rmtree(pipeline.local_tempdir)  # Only running a pipeline removes the folder.
    urns = [transform.spec.urn for transform in transforms]
    assert common_urns.primitives.GROUP_BY_KEY.urn not in urns
    assert urns.count(common_urns.composites.PUBSUB_READ.urn) == 1
    assert urns.count(common_urns.composites.PUBSUB_WRITE.urn) == writes


class Echo(BaseModel):
    """Returns the fields of a message, changed, and one more."""

    def load_model(self, path, **opts):
        return True

    def predict(self, df):
        return df.drop(columns="zip", errors="ignore").assign(p=1)


def test_what_travels_beside_the_frame_reaches_the_reply():
    """The steps between subscription and topic, on given messages."""
    payloads = [
        b'{"zip": "00501", "n": 1, "id": "a"}',
        b'{"zip": 12345678901234567890123, "n": 2, "id": "b", "key": "k"}',
        b'{"zip": [1], "n": 3, "id": "c", "message_id": "m"}',
        b'{"n": 4, "id": "d"}',
    ]
    batch = Messages(
        Message(payload, {}, f"m{number}", 0.0) for number, payload in enumerate(payloads)
    )
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        blocks, undecoded = (
            pipeline
            | beam.Create([batch], reshuffle=False)
            | DecodeMessages(MessageSettings(key_column="id", passthrough_columns=("zip",)))
        )
        predictions, unpredicted = (
            blocks
            | ApplyModel(
                model=Echo("path"), key_column=KEY, device="cpu", reserved_columns=REPLY_COLUMNS
            ).with_exception_handling()
        )
        replies = predictions | beam.ParDo(FormatReplies())
        data = replies | beam.Map(lambda reply: orjson.loads(reply.data))
        reasons = (undecoded, unpredicted) | beam.Flatten() | beam.Map(lambda each: each.error)
        reply = {"key": "a", "zip": "00501", "n": 1, "p": 1, "message_id": "m0", "model_id": "path"}
        assert_that(data, equal_to([reply]))
        taken = "TakenColumnError: predict returned a column {!r} that already exists, because "
        taken += "key, zip, message_id, model_id are written beside the prediction: rename or drop "
        taken += "the model's column"
        missing = "UnreadableError: no column 'zip', which passthrough_columns names; its columns: "
        assert_that(
            reasons,
            equal_to([taken.format("key"), taken.format("message_id"), f"{missing}n, id"]),
            label="reasons",
        )
