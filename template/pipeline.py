"""The batch pipeline, from files to predictions, and how a template is launched.

files -> splits -> blocks -> ApplyModel -> predictions
                      \\-> dead letters <-/
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)
from apache_beam.runners.runner import PipelineState

from template.blocks import KEY
from template.inference import ApplyModel
from template.options import PredictConfig, StreamConfig, check_flags, choose_template
from template.parameters import ParameterError
from template.sinks import WriteDeadLetters, WritePredictions
from template.sources import ReadBlocks, check_input
from template.streaming import build_streaming_pipeline


def build_pipeline(pipeline: beam.Pipeline, config: PredictConfig) -> None:
    """Add the steps of a batch prediction to a pipeline."""
    blocks, unread = pipeline | "Read" >> ReadBlocks(
        config.input,
        input_format=config.input_format,
        batch_size=config.batch_size,
        key_column=config.key_column,
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


def run(argv: Sequence[str]) -> int:
    """Build and run the pipeline that the flags describe; return the exit status.

    A mistake in the flags prints what is wrong and returns 2. Where the launcher asks for a
    template (``--template_location``) the pipeline is only staged: there is no job yet whose end
    or metrics one could wait for. Anywhere else this blocks until the job ends, without limit.
    """
    options = PipelineOptions(list(argv))
    try:
        template = choose_template(options)
        check_flags(argv, template)
        pipeline = _new_streaming(options) if template.streaming else _new_batch(options)
    except ParameterError as error:
        print(error, file=sys.stderr)
        return 2
    result = pipeline.run()
    if options.view_as(GoogleCloudOptions).template_location:
        return 0
    return 0 if result.wait_until_finish() == PipelineState.DONE else 1


def _new_batch(options: PipelineOptions) -> beam.Pipeline:
    config = PredictConfig.from_options(options)
    check_input(config.input, config.input_format)
    pipeline = beam.Pipeline(options=options)
    build_pipeline(pipeline, config)
    return pipeline


def _new_streaming(options: PipelineOptions) -> beam.Pipeline:
    config = StreamConfig.from_options(options)
    options.view_as(StandardOptions).streaming = True
    if config.model_update_pattern is not None:
        # Else a worker process keeps the first value of a globally windowed side input for ever
        # (apache_beam.runners.common.PerWindowInvoker): no update would reach the model.
        options.view_as(DebugOptions).add_experiment("disable_global_windowed_args_caching")
    pipeline = beam.Pipeline(options=options)
    build_streaming_pipeline(pipeline, config)
    return pipeline
