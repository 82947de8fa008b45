"""Template parameters as Beam pipeline options, and the checked configuration of a job.

One image holds all templates; the parameters of a launch decide which of them runs.

The options are generated from ``template.parameters``. None of them is required by argparse,
because Beam parses the options of all imported subclasses together and an unrelated pipeline would
exit. ``PredictConfig`` and ``StreamConfig`` find missing ones. Defaults are applied there as well.
Import this module only where a template is launched, because its flags (``--input``) have common
names.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from template.blocks import KEY
from template.column_lists import parse_column_types, parse_passthrough_columns
from template.compute import STORED, check_precision
from template.messages import REPLY_COLUMNS
from template.model import BaseModel
from template.model_options import make_model, read_model_opts
from template.models.kinds import find_kind
from template.needs.options import find_options
from template.parameters import (
    BATCH,
    MAX_IMAGE_PIXELS,
    MODEL_LABEL,
    STREAMING,
    TEMPLATES,
    Parameter,
    ParameterError,
    Template,
    did_you_mean,
)

INSTALL_REMEDY = (
    "add its package to the project's requirements.in, then run 'make venv' for this machine, "
    "'make lock' and 'make template' for the cloud"
)
_TYPO_SIMILARITY = 0.8


class TemplateOptions(PipelineOptions):
    """Every parameter of every template, as text."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parameters = {
            parameter.name: parameter for template in TEMPLATES for parameter in template.parameters
        }
        for parameter in parameters.values():
            parser.add_argument(f"--{parameter.name}", help=parameter.help_text.replace("%", "%%"))


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """The configuration of a batch job: the batch template's parameters in their own types."""

    input: str
    input_format: str
    key_column: str | None
    output: str
    output_format: str
    model_path: str
    model_class: type[BaseModel]
    batch_size: int
    device: str
    precision: str = STORED
    prediction_accelerator: str | None = None
    passthrough_columns: tuple[str, ...] = ()
    max_image_pixels: int = MAX_IMAGE_PIXELS
    max_dead_letter_share: float | None = None
    csv_delimiter: str = "auto"
    column_types: Mapping[str, str] = field(default_factory=dict)
    predict_timeout_sec: int | None = None
    model_opts: Mapping[str, Any] = field(default_factory=dict)
    max_rows: int | None = None
    """Limits the rows that are read; for ``template.trial``."""
    model: BaseModel = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", _make_model(self))

    @classmethod
    def from_options(cls, options: PipelineOptions) -> PredictConfig:
        """Check the options and return them; imports the model's module.

        Raises:
            ParameterError: something is missing or wrong; the message lists all of it.
        """
        values, problems = _parse_all(BATCH, options)
        output = str(values.get("output"))
        if output.endswith("/"):
            problems.append(
                f"--output {output!r}: names a folder; add the beginning of the files' names: "
                f"{output}predictions"
            )
        if wildcard := re.search(r"[*?\[]", output):
            problems.append(
                f"--output {output!r}: holds {wildcard[0]!r}, a wildcard; it would match "
                "files of other outputs"
            )
        if problems:
            raise ParameterError("\n".join(problems))
        config = cls(**values)
        _check_column_types(config)
        return config


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """The configuration of a streaming job: the streaming template's parameters.

    Either ``dead_letter_topic`` or ``dead_letter_output`` is set.
    """

    input_subscription: str
    message_format: str
    key_column: str | None
    output_topic: str
    dead_letter_topic: str | None
    dead_letter_output: str | None
    model_path: str
    model_update_pattern: str | None
    model_class: type[BaseModel]
    batch_size: int
    max_batch_duration_ms: int
    device: str
    precision: str = STORED
    passthrough_columns: tuple[str, ...] = ()
    max_image_pixels: int = MAX_IMAGE_PIXELS
    predict_timeout_sec: int | None = None
    model_opts: Mapping[str, Any] = field(default_factory=dict)
    model: BaseModel = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", _make_model(self))

    @classmethod
    def from_options(cls, options: PipelineOptions) -> StreamConfig:
        """Check the options and return them; imports the model's module.

        Raises:
            ParameterError: something is missing or wrong; the message lists all of it.
        """
        values, problems = _parse_all(STREAMING, options)
        topic, prefix = values.get("dead_letter_topic"), values.get("dead_letter_output")
        temp_location = options.view_as(GoogleCloudOptions).temp_location
        if topic and prefix:
            problems.append("--dead_letter_topic, --dead_letter_output: give only one of the two")
        elif not topic and not prefix and not temp_location:
            problems.append(
                "--dead_letter_topic: without it and --dead_letter_output, dead letters go below "
                "--temp_location, which is missing"
            )
        elif not topic and not prefix:
            values["dead_letter_output"] = f"{temp_location.rstrip('/')}/dead-letters/letters"
        if problems:
            raise ParameterError("\n".join(problems))
        return cls(**values)


def choose_template(options: PipelineOptions) -> Template:
    """Return the template whose parameters are given.

    Raises:
        ParameterError: they belong to several templates.
    """
    given = options.view_as(TemplateOptions)
    own = {
        template.name: [
            parameter.name
            for parameter in template.parameters
            if getattr(given, parameter.name)
            and not any(
                parameter in other.parameters for other in TEMPLATES if other is not template
            )
        ]
        for template in TEMPLATES
    }
    if own[BATCH.name] and own[STREAMING.name]:
        raise ParameterError(
            f"--{own[BATCH.name][0]} is of the {BATCH.name} template, "
            f"--{own[STREAMING.name][0]} of the {STREAMING.name} template: omit one"
        )
    return STREAMING if own[STREAMING.name] else BATCH


def check_flags(
    argv: Sequence[str], template: Template, model_options: Collection[str] = ()
) -> None:
    """Check that no flag is a misspelt template parameter, or option of the model.

    Other unknown flags are kept, because the launcher passes flags of its own.

    Raises:
        ParameterError: flags are misspelt; the message lists all of them.
    """
    names = [*(parameter.name for parameter in template.parameters), *model_options]
    problems = []
    for flag in _find_unknown_flags(argv):
        if flag in model_options:
            continue
        nearest = difflib.get_close_matches(flag, names, n=1, cutoff=_TYPO_SIMILARITY)
        if nearest:
            problems.append(f"--{flag}: no such parameter{did_you_mean(flag, names)}")
    if problems:
        raise ParameterError("\n".join(problems))


def find_option_names(options: PipelineOptions) -> list[str]:
    """Return the names of the model's declared options; none if it cannot be imported."""
    given = options.view_as(TemplateOptions)
    try:
        return list(find_options(choose_model_class(given.model_class, given.model_path)))
    except ParameterError:  # which is reported with all other problems
        return []


def choose_model_class(reference: str | None, model_path: str | None) -> type[BaseModel]:
    """Return a launch's model class; if it names none, the class for its file's kind.

    Raises:
        ParameterError: it cannot be imported, or the file is of an unknown kind.
    """
    if not reference and not model_path:
        raise ParameterError("--model_path: is required")
    return find_model_class(reference or find_kind(str(model_path)))


def find_model_class(reference: str) -> type[BaseModel]:
    """Import a model class by ``module:Class``.

    Raises:
        ParameterError: it cannot be imported, or is not a BaseModel.
    """
    module_name, _, class_name = reference.partition(":")
    flag = f"--model_class {reference!r}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise ParameterError(
                f"{flag}: no module {error.name!r} can be imported; install it in the image"
            ) from error
        raise ParameterError(
            f"{flag}: module {module_name!r} needs {error.name!r}, which is not installed: "
            f"{INSTALL_REMEDY}"
        ) from error
    except Exception as error:
        raise ParameterError(
            f"{flag}: importing {module_name!r} raised {type(error).__name__}: {error}"
        ) from error
    found = getattr(module, class_name, None)
    models = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel
    ]
    if found is None:
        raise ParameterError(
            f"{flag}: module {module_name!r} has no {class_name!r}; "
            f"its models: {', '.join(models) or 'none'}"
        )
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise ParameterError(
            f"{flag}: {class_name!r} is not a subclass of template.model.BaseModel"
        )
    return found


def _parse_all(template: Template, options: PipelineOptions) -> tuple[dict[str, Any], list[str]]:
    """Return the valid values by parameter name, and the problems of the others."""
    given = options.view_as(TemplateOptions)
    values: dict[str, Any] = {}
    problems = []
    for parameter in template.parameters:
        try:
            value: Any = _parse(parameter, getattr(given, parameter.name))
            if parameter.name == "model_class":
                if not given.model_class:
                    _check_label(options)
                if value is None and "model_path" not in values:
                    continue  # which is reported already
                value = choose_model_class(value, values.get("model_path"))
            if parameter.name == "passthrough_columns":
                taken = (KEY, *(REPLY_COLUMNS if template.streaming else ()))
                value = parse_passthrough_columns(value or "", taken)
            if parameter.name == "column_types":
                value = parse_column_types(value or "")
            values[parameter.name] = value
        except ParameterError as error:
            problems.append(str(error))
    if "model_class" in values:
        try:
            values["model_opts"] = read_model_opts(
                values["model_class"], values.get("model_opts") or "", options
            )
        except ParameterError as error:
            problems.append(str(error))
    return values, problems


def _check_label(options: PipelineOptions) -> None:
    """Check that a job of a template for one model does not run the default model.

    Raises:
        ParameterError: it would.
    """
    for label in options.view_as(GoogleCloudOptions).labels or ():
        if MODEL_LABEL in label:
            raise ParameterError(
                "--model_class: the template is made for one model, and the launch's "
                "additionalPipelineOptions replace the template's, which name its class; add "
                f"model_class=MODULE:CLASS to them. The label of the job: {label}"
            )


def _make_model(config: PredictConfig | StreamConfig) -> BaseModel:
    """Return the model of a job, completed from its file."""
    model = make_model(config.model_class, config.model_path, config.model_opts)
    check_precision(config.precision, model)
    model.inspect()
    return model


def _check_column_types(config: PredictConfig) -> None:
    """Refuse types for columns that the model does not get."""
    names = [column.name for column in config.model.columns]
    for name in config.column_types:
        if names and name not in names:
            raise ParameterError(
                f"--column_types: the model does not declare a column {name!r}"
                f"{did_you_mean(name, names)}; it declares {', '.join(names)}"
            )


def _parse(parameter: Parameter, value: object) -> str | int | float | None:
    if value is None or value == "":
        if not parameter.is_optional:
            raise ParameterError(f"--{parameter.name}: is required. {parameter.help_text}")
        return parameter.default
    return parameter.parse(str(value))


def _find_unknown_flags(argv: Sequence[str]) -> list[str]:
    """Return the flags that neither Beam nor a template knows."""
    unknown: list[str] = []

    def note_unknown(parser: argparse.ArgumentParser) -> None:
        unknown.extend(parser.parse_known_args(list(argv))[1])

    PipelineOptions([]).get_all_options(add_extra_args_fn=note_unknown)
    return [flag[2:].partition("=")[0] for flag in unknown if flag.startswith("--")]
