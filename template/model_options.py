"""The options of a job's model: from their own flags, or from the JSON of ``model_opts``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from template.model import BaseModel, find_arguments
from template.needs.options import Option, find_options, settle_options
from template.parameters import ParameterError, did_you_mean


def make_model(
    model_class: type[BaseModel], model_path: str, model_opts: Mapping[str, Any]
) -> BaseModel:
    """Return a model with its options; if there are none, its constructor need not accept any."""
    return model_class(model_path, model_opts) if model_opts else model_class(model_path)


def read_model_opts(
    model_class: type[BaseModel], text: str, options: PipelineOptions
) -> dict[str, Any]:
    """Return the options of a model, from their own flags and from JSON.

    Args:
        model_class: the class; options that are not given have their defaults.
        text: a JSON object, or "".
        options: flags, among which may be those of the model's options.

    Raises:
        ParameterError: something is missing or wrong; the message lists all of it.
    """
    declared = find_options(model_class)
    given = _parse_model_opts(model_class, text)
    problems = []
    for name, value in _find_option_flags(declared, options).items():
        if name in given:
            problems.append(f"--{name}, --model_opts: both set {name!r}; omit one")
            continue
        try:
            given[name] = declared[name].read(value)
        except ValueError as error:
            problems.append(f"--{name} {value!r}: {error}. {declared[name].help}")
    for name, option in declared.items():
        try:
            given.update(settle_options({name: option}, given))
        except ValueError as error:
            if not any(problem.startswith(f"--{name} ") for problem in problems):
                problems.append(
                    f"--model_opts {text!r}: {error}"
                    if name in given
                    else f"--{name}: is required. {option.help}"
                )
    if problems:
        raise ParameterError("\n".join(problems))
    return given


def _parse_model_opts(model_class: type[BaseModel], text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ParameterError(f"--model_opts {text!r}: not JSON: {error}") from None
    if not isinstance(given, dict):
        raise ParameterError(f"--model_opts {text!r}: not a JSON object")
    declared = list(find_options(model_class))
    arguments = find_arguments(model_class.load_model)
    if arguments is None:
        return given
    names = [*declared, *sorted(arguments - {"path", *declared})]
    for name in given:
        if name not in names:
            raise ParameterError(
                f"--model_opts {text!r}: the model {model_class.__name__} has no option {name!r}"
                f"{did_you_mean(name, names)}; it has {', '.join(names) or 'none'}"
            )
    return given


def _find_option_flags(
    declared: Mapping[str, Option[Any]], options: PipelineOptions
) -> dict[str, str]:
    """Return a model's options from flags; a flag that Beam also has belongs to Beam."""
    added: list[str] = []

    def add_flags(parser: argparse.ArgumentParser) -> None:
        for name in declared:
            with suppress(argparse.ArgumentError):
                parser.add_argument(f"--{name}")
                added.append(name)

    found = options.get_all_options(add_extra_args_fn=add_flags) if declared else {}
    return {name: found[name] for name in added if found[name] not in (None, "")}
