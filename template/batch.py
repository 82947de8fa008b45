"""The batch pipeline, from files to predictions.

files -> splits -> blocks -> ApplyModel -> predictions -> files, record, verdict
                      \\-> dead letters <-/
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    WorkerOptions,
)

from template import __version__
from template.blocks import KEY
from template.inference import ApplyModel
from template.options import PredictConfig
from template.parameters import BATCH
from template.sinks.files import WriteDeadLetters, WritePredictions
from template.sinks.finalize import FinalizeRun
from template.sinks.record import LaunchFacts
from template.sinks.start import StartRun
from template.sources import ReadBlocks
from template.sources.csv_header import DELIMITERS


def build_batch_pipeline(
    pipeline: beam.Pipeline, config: PredictConfig, warnings: Sequence[str] = ()
) -> None:
    """Add the steps of a batch prediction to a pipeline.

    Args:
        warnings: what the job logs when it starts.
    """
    start = pipeline | "Start" >> StartRun(config.output, config.model_path, warnings)
    blocks, unread, inputs = pipeline | "Read" >> make_reader(config)
    predict = ApplyModel(
        model=config.model,
        key_column=KEY,
        device=config.device,
        precision=config.precision,
        predict_timeout_sec=config.predict_timeout_sec,
    )
    if config.prediction_accelerator:  # right fitting: only this step's workers have a GPU
        predict = predict.with_resource_hints(accelerator=config.prediction_accelerator)
    predictions, unpredicted = blocks | "Predict" >> predict.with_exception_handling(
        gives_up=config.max_dead_letter_share != 1
    )
    files, unwritten = predictions | "WritePredictions" >> WritePredictions(
        config.output_format, start
    )
    dead_letter_files = (
        (unread, unpredicted, unwritten)
        | "DeadLetters" >> beam.Flatten()
        | "WriteDeadLetters" >> WriteDeadLetters(start)
    )
    _ = (start, inputs, files, dead_letter_files) | "Finalize" >> FinalizeRun(
        config.output,
        describe_launch(config, pipeline.options),
        config.max_dead_letter_share,
    )


def make_reader(config: PredictConfig, *, every_column: bool = False) -> ReadBlocks:
    """Return the step that reads a job's input; ``every_column``: not only the model's."""
    return ReadBlocks(
        config.input,
        input_format=config.input_format,
        batch_size=config.batch_size,
        key_column=config.key_column,
        passthrough_columns=config.passthrough_columns,
        max_image_pixels=config.max_image_pixels,
        csv_delimiter=DELIMITERS.get(config.csv_delimiter),
        column_types=config.column_types,
        columns=() if every_column else config.model.columns,
        images=config.model.images.declared,
        max_rows=config.max_rows,
    )


def describe_launch(config: PredictConfig, options: PipelineOptions) -> LaunchFacts:
    """Return the launch's part of a run's record."""
    parameters = {parameter.name: getattr(config, parameter.name) for parameter in BATCH.parameters}
    model = config.model_class
    parameters["model_class"] = f"{model.__module__}:{model.__qualname__}"
    return LaunchFacts(
        job_name=options.view_as(GoogleCloudOptions).job_name,
        template=BATCH.name,
        version=__version__,
        image=options.view_as(WorkerOptions).sdk_container_image,
        parameters=parameters,
        time=datetime.now(UTC),
    )
