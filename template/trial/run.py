"""The batch template in this process, on the first rows of its input."""

from __future__ import annotations

import logging
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import apache_beam as beam
import orjson
from apache_beam.metrics.metric import MetricResults
from apache_beam.options.pipeline_options import PipelineOptions

from template.batch import build_batch_pipeline, make_reader
from template.options import (
    INSTALL_REMEDY,
    PredictConfig,
    check_flags,
    choose_model_class,
    find_option_names,
)
from template.parameters import BATCH, ParameterError
from template.sources import check_input
from template.sources.first_rows import find_absent_columns
from template.trial.memory import find_peak_bytes, find_resident_bytes
from template.trial.report import (
    Trial,
    find_original,
    format_failure,
    format_frames,
    format_report,
    is_within,
)

CTRL_C = 130
"""The exit status of a trial that the user ended."""

_RUNNER = "--runner=FnApiRunner"
_PLACES = {"input": "--input", "model_path": "--model-path", "model_class": "MODULE:CLASS"}


def try_rows(flags: Sequence[str], rows: int) -> int:
    """Predict some rows and print the result of each.

    Args:
        flags: of the batch template, without its output.
        rows: how many of the first rows are read.

    Returns:
        0 if a row is predicted or there are no rows, 1 if none is predicted, 2 if a flag is wrong,
        130 after Ctrl-C.
    """
    with _shown_warnings(), tempfile.TemporaryDirectory(prefix="flexpack-try-") as folder:
        try:
            pipeline = _build(flags, rows, Path(folder))
            before = find_resident_bytes()
            began = time.monotonic()
            result = pipeline.run()
            result.wait_until_finish()
        except ParameterError as error:
            print(f"flexpack: {_name_flags(str(error))}", file=sys.stderr)
            return 2
        except Exception as error:  # of whatever step
            if isinstance(find_original(error), KeyboardInterrupt):
                return CTRL_C
            if problem := _find_missing_model(error, flags):
                print(f"flexpack: {problem}", file=sys.stderr)
                return 2
            print(f"{format_failure(error)}\n{_explain(error, flags)}", file=sys.stderr)
            return 1
        trial = Trial(
            predictions=list(_read(folder, "rows-[0-9]*")),
            dead_letters=list(_read(folder, "rows-errors-*")),
            load_sec=_sum(result.metrics(), "load_model_latency_milli_secs") / 1e3,
            predict_sec=_sum(result.metrics(), "inference_batch_latency_micro_secs") / 1e6,
            total_sec=time.monotonic() - began,
            peak_bytes=find_peak_bytes(),
            imports_bytes=before,
        )
    print(format_report(trial, is_cut=trial.rows == rows))
    return 1 if trial.dead_letters and not trial.predictions else 0


def _build(flags: Sequence[str], rows: int, folder: Path) -> beam.Pipeline:
    given = [*flags, f"--output={folder}/rows", "--max_dead_letter_share=1", _RUNNER]
    values = dict(flag.removeprefix("--").split("=", 1) for flag in flags if "=" in flag)
    try:
        choose_model_class(values.get("model_class"), values.get("model_path"))
    except ParameterError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError):
            places = f"modules are looked up in {Path.cwd()} and {sys.prefix}"
            raise ParameterError(f"{error}; {places}") from error
        if cause is not None and (frames := format_frames(cause)):
            print(frames, file=sys.stderr)
        raise
    options = PipelineOptions(given)
    _check_names(flags, options)
    config = PredictConfig.from_options(options)
    check_input(config.input, config.input_format)
    every = make_reader(config, every_column=True)
    warnings = find_absent_columns(config.input, every, config.model.columns)
    config = replace(config, max_rows=rows)
    pipeline = beam.Pipeline(options=options)
    build_batch_pipeline(pipeline, config, warnings)
    return pipeline


def _find_missing_model(error: Exception, flags: Sequence[str]) -> str:
    """Return what is wrong if ``load_model`` failed because there is no such file, or nothing."""
    original = find_original(error)
    path = _find_model_path(flags)
    if isinstance(original, FileNotFoundError) and str(original) == f"{path}: no such file":
        return f"--model-path {path!r}: no such file or folder"
    return ""


def _find_model_path(flags: Sequence[str]) -> str:
    return next(flag.partition("=")[2] for flag in flags if flag.startswith("--model_path="))


def _explain(error: Exception, flags: Sequence[str]) -> str:
    """Return the last line about an exception that would fail a job: where it was and a remedy."""
    original = find_original(error)
    lines = ["flexpack: a job would fail like this"]
    if isinstance(original, ModuleNotFoundError):
        lines = [f"flexpack: {original.name!r} is not installed: {INSTALL_REMEDY}", *lines]
    elif is_within(original, "load_model"):
        path = _find_model_path(flags)
        lines = [f"flexpack: --model-path {path!r}: load_model could not load it", *lines]
    return "\n".join(lines)


def _name_flags(text: str) -> str:
    """Return a message about the template's flags with those of ``flexpack try``."""

    known = "|".join(parameter.name for parameter in BATCH.parameters)
    return re.sub(
        rf"(?:^|(?<=, ))--([a-z]\w*)|(?<= )--({known})\b",
        lambda match: _PLACES.get(name := match[1] or match[2], f"--parameters {name}"),
        text,
        flags=re.MULTILINE,
    )


def _check_names(flags: Sequence[str], options: PipelineOptions) -> None:
    """Refuse flags that are neither parameters of the template nor options of the model.

    Raises:
        ParameterError: there is such a flag.
    """
    declared = find_option_names(options)
    check_flags(flags, BATCH, declared)
    known = [*(parameter.name for parameter in BATCH.parameters), *declared]
    for flag in flags:
        name = flag.removeprefix("--").partition("=")[0]
        if name not in known:
            raise ParameterError(
                f"--{name}: neither the batch template nor the model has it; the model's options "
                f"are {', '.join(declared) or 'none'}"
            )


def _read(folder: str, pattern: str) -> Iterator[dict[str, object]]:
    for path in sorted(Path(folder).glob(pattern)):
        for line in path.read_bytes().splitlines():
            yield orjson.loads(line)


def _sum(metrics: MetricResults, name: str) -> float:
    found = metrics.query(beam.metrics.MetricsFilter().with_name(name))["distributions"]
    return float(sum(each.committed.sum for each in found))


@contextmanager
def _shown_warnings() -> Iterator[None]:
    """Show the logs of the template and the model on the terminal, but not Beam's."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.addFilter(_is_of_interest)
    handler.setFormatter(logging.Formatter("%(message)s\n"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def _is_of_interest(record: logging.LogRecord) -> bool:
    if record.name.startswith("apache_beam"):
        return False
    if record.name == "template.failures":  # if no row was predicted, that is reported below
        return record.levelno == logging.WARNING
    return not record.getMessage().startswith("Resource module is not available")
