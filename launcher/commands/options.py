"""The flags that several commands share, among them the options of a launch."""

from __future__ import annotations

import argparse
import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from launcher.accelerators.catalogue import Accelerator
from launcher.commands.parameters_file import read_parameters_file
from launcher.commands.parser import CommandParser, Items, KeyValues, Number
from launcher.launch.options import Declared, EnvironmentOptions, LaunchConfig, list_options

Options = TypeVar("Options", bound=EnvironmentOptions)


def add_launch_options(parser: CommandParser) -> None:
    """Add the options that ``LaunchConfig`` itself declares."""
    own = {field.name for field in fields(EnvironmentOptions)}
    for declared in list_options(LaunchConfig):
        if declared.name not in own:
            _add_option(parser, declared)
    parser.add_argument(
        "--parameters-file",
        type=Path,
        metavar="FILE",
        help="parameters as YAML or JSON, name: value; --parameters takes precedence",
    )


def add_environment_options(parser: CommandParser, title: str) -> None:
    """Add the options of a job's environment, as a group of the help."""
    group = parser.add_argument_group(title)
    for declared in list_options(EnvironmentOptions):
        _add_option(group, declared)


def read_options(record: type[Options], args: argparse.Namespace, **others: Any) -> Options:
    """Return a record of options from flags and other values."""
    values = {declared.name: getattr(args, declared.name) for declared in list_options(record)}
    if getattr(args, "parameters_file", None) is not None:
        values["parameters"] = read_parameters_file(args.parameters_file) | values["parameters"]
    return record(**values, **others)


def add_ignore(parser: CommandParser) -> None:
    """Add the flag that names findings to ignore."""
    parser.add_argument(
        "--ignore",
        action=Items,
        const=True,
        default=(),
        metavar="CODE,...",
        help="findings to ignore; 'flexpack check --codes' lists the codes",
    )


def add_place(parser: CommandParser) -> None:
    """Add project and region."""
    parser.add_argument("--project", help="default: CLOUDSDK_CORE_PROJECT, GOOGLE_CLOUD_PROJECT")
    parser.add_argument("--region", help="default: CLOUDSDK_DATAFLOW_REGION, us-central1")


def add_timeout(parser: CommandParser, default: str) -> None:
    """Add how long to wait for the job; ``default`` is for the help."""
    parser.add_argument(
        "--timeout-sec",
        type=Number(0, float),
        metavar="SECONDS",
        help=f"longest wait for the job, which keeps running after that (default: {default})",
    )


def _add_option(parser: argparse._ActionsContainer, declared: Declared) -> None:
    option, kind = declared.option, declared.type
    about: dict[str, Any] = {"help": option.help, "metavar": option.metavar}
    if kind is bool:
        about = {"help": option.help, "action": "store_true"}
    elif typing.get_origin(kind) is tuple:
        about |= {"action": Items, "const": option.commas, "default": ()}
    elif typing.get_origin(kind) is Mapping:
        about |= {"action": KeyValues, "const": option.commas, "default": {}}
    elif kind == int | None:
        about["type"] = Number(1)
    elif kind == Accelerator | None:
        about["type"] = Accelerator.parse
    parser.add_argument(declared.flag, **about)
