"""Run or stage the template that the flags choose."""

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

from template import without_torch  # noqa: F401 - before anything imports RunInference
from template.batch import build_batch_pipeline, make_reader
from template.options import (
    PredictConfig,
    StreamConfig,
    check_flags,
    choose_template,
    find_option_names,
)
from template.parameters import ParameterError
from template.sources import check_input
from template.sources.first_rows import check_first_rows, find_absent_columns
from template.streaming import build_streaming_pipeline
from template.verdict import find_verdict


def run(argv: Sequence[str]) -> int:
    """Build and run the pipeline that the flags describe; return the exit status.

    Wrong flags print their problems and return 2. If the launcher requests a template
    (``--template_location``), the pipeline is only staged: there is no job yet to wait for.
    Otherwise this blocks until the job ends, without limit.
    """
    options = PipelineOptions(list(argv))
    try:
        template = choose_template(options)
        check_flags(argv, template, find_option_names(options))
        _leave_out_package_list(options)
        pipeline = _new_streaming(options) if template.streaming else _new_batch(options)
    except ParameterError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        result = pipeline.run()
    except RuntimeError as error:  # of a runner that runs in this process
        verdict = find_verdict(error)
        if verdict is None:
            raise
        print(verdict, file=sys.stderr)
        return 1
    if options.view_as(GoogleCloudOptions).template_location:
        return 0
    return 0 if result.wait_until_finish() == PipelineState.DONE else 1


def _leave_out_package_list(options: PipelineOptions) -> None:
    """Keep Beam from staging a list of the launcher's packages, which takes half a second.

    The image already determines which packages are installed.
    ``--experiments=log_submission_environment`` brings the list back.
    """
    debug = options.view_as(DebugOptions)
    if not debug.lookup_experiment("log_submission_environment"):
        debug.add_experiment("disable_logging_submission_environment")


def _new_batch(options: PipelineOptions) -> beam.Pipeline:
    config = PredictConfig.from_options(options)
    check_input(config.input, config.input_format)
    named = config.model.columns or config.key_column or config.passthrough_columns
    if named and config.max_dead_letter_share != 1:
        check_first_rows(config.input, make_reader(config))
    warnings = find_absent_columns(
        config.input, make_reader(config, every_column=True), config.model.columns
    )
    pipeline = beam.Pipeline(options=options)
    build_batch_pipeline(pipeline, config, warnings)
    return pipeline


def _new_streaming(options: PipelineOptions) -> beam.Pipeline:
    config = StreamConfig.from_options(options)
    options.view_as(StandardOptions).streaming = True
    if config.model_update_pattern is not None:
        # Otherwise a worker process keeps the first value of a globally windowed side input forever
        # (apache_beam.runners.common.PerWindowInvoker): no update would reach the model.
        options.view_as(DebugOptions).add_experiment("disable_global_windowed_args_caching")
    pipeline = beam.Pipeline(options=options)
    build_streaming_pipeline(pipeline, config)
    return pipeline
