"""The batch pipeline, from files to predictions.

files -> splits -> blocks -> ApplyModel -> predictions
                      \\-> dead letters <-/
"""

from __future__ import annotations

import apache_beam as beam

from template.blocks import KEY
from template.inference import ApplyModel
from template.options import PredictConfig
from template.sinks.files import WriteDeadLetters, WritePredictions
from template.sources import ReadBlocks


def build_batch_pipeline(pipeline: beam.Pipeline, config: PredictConfig) -> None:
    """Add the steps of a batch prediction to a pipeline."""
    blocks, unread = pipeline | "Read" >> ReadBlocks(
        config.input,
        input_format=config.input_format,
        batch_size=config.batch_size,
        key_column=config.key_column,
        passthrough_columns=config.passthrough_columns,
        max_image_pixels=config.max_image_pixels,
    )
    model = config.model_class(config.model_path)
    predict = ApplyModel(model=model, key_column=KEY, device=config.device)
    if config.prediction_accelerator:  # right fitting: only this step's workers have a GPU
        predict = predict.with_resource_hints(accelerator=config.prediction_accelerator)
    predictions, unpredicted = blocks | "Predict" >> predict.with_exception_handling()
    unwritten = predictions | "WritePredictions" >> WritePredictions(
        config.output, config.output_format
    )
    _ = (
        (unread, unpredicted, unwritten)
        | "DeadLetters" >> beam.Flatten()
        | "WriteDeadLetters" >> WriteDeadLetters(config.output)
    )
