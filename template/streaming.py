"""The streaming pipeline, from messages to replies.

subscription -> batches -> blocks -> ApplyModel -> replies -> topic
                                \\-> dead letters <-/
"""

from __future__ import annotations

import apache_beam as beam
from apache_beam.io.gcp.pubsub import ReadFromPubSub, WriteToPubSub

from template.blocks import KEY
from template.inference import ApplyModel
from template.messages import REPLY_COLUMNS
from template.model_swap import WatchModels
from template.options import StreamConfig
from template.sinks.replies import FormatDeadLetters, FormatReplies, WriteDeadLetterFiles
from template.sources.batching import BatchMessages
from template.sources.messages import DecodeMessages, MessageSettings


def build_streaming_pipeline(pipeline: beam.Pipeline, config: StreamConfig) -> None:
    """Add the steps of a streaming prediction to a pipeline.

    Nothing is grouped by key, and the SDK's Pub/Sub transforms are used as they are: Dataflow
    replaces them with its own.
    """
    models = None
    if config.model_update_pattern is not None:
        models = pipeline | "WatchModels" >> WatchModels(
            config.model_update_pattern, config.model_path
        )
    blocks, undecoded = (
        pipeline
        | "Read" >> ReadFromPubSub(subscription=config.input_subscription, with_attributes=True)
        | "Batch" >> BatchMessages(config.batch_size, config.max_batch_duration_ms)
        | "Decode"
        >> DecodeMessages(
            MessageSettings(
                message_format=config.message_format,
                key_column=config.key_column,
                passthrough_columns=config.passthrough_columns,
                max_image_pixels=config.max_image_pixels,
                columns=tuple(config.model.columns),
                images=config.model.images.declared,
            )
        )
    )
    predictions, unpredicted = (
        blocks
        | "Predict"
        >> ApplyModel(
            model=config.model,
            key_column=KEY,
            device=config.device,
            precision=config.precision,
            model_metadata_pcoll=models,
            reserved_columns=REPLY_COLUMNS,
            predict_timeout_sec=config.predict_timeout_sec,
        ).with_exception_handling()
    )
    replies, unsent = predictions | "FormatReplies" >> beam.ParDo(FormatReplies()).with_outputs(
        FormatReplies.DEAD_LETTERS, main="replies"
    )
    _ = replies | "WriteReplies" >> WriteToPubSub(config.output_topic, with_attributes=True)
    dead_letters = (undecoded, unpredicted, unsent) | "DeadLetters" >> beam.Flatten()
    if config.dead_letter_topic:
        _ = (
            dead_letters
            | "FormatDeadLetters" >> beam.ParDo(FormatDeadLetters())
            | "WriteDeadLetters" >> WriteToPubSub(config.dead_letter_topic, with_attributes=True)
        )
    if config.dead_letter_output:
        _ = dead_letters | "WriteDeadLetters" >> beam.ParDo(
            WriteDeadLetterFiles(config.dead_letter_output)
        )
