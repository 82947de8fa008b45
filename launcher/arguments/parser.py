"""The pieces of argparse that the command line is made of."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from launcher.errors import InputError
from template.parameters import did_you_mean


class CommandParser(argparse.ArgumentParser):
    """argparse with whole flags only, suggestions, and the launcher's form of errors."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}\nsee '{self.prog} --help'")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = list(action.choices or ())
        if choices and value not in choices:
            name = "/".join(action.option_strings) or action.metavar or action.dest
            raise argparse.ArgumentError(
                None,
                f"{name} {value!r}: one of {', '.join(choices)}{did_you_mean(value, choices)}",
            )


class KeyValues(argparse.Action):
    """Collects ``KEY=VALUE``: one per flag or, where ``const`` is set, several between commas."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        collected = dict(getattr(namespace, self.dest))
        for item in values.split(",") if self.const else [values]:
            key, equals, value = item.partition("=")
            if not key or not equals:
                raise InputError(f"{option_string} {item!r}: expected KEY=VALUE")
            if key in collected:
                raise InputError(f"{option_string} {key}: given twice")
            collected[key] = value
        setattr(namespace, self.dest, collected)


class Items(argparse.Action):
    """Collects values: one per flag or, where ``const`` is set, several between commas."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        items = values.split(",") if self.const else [values]
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), *items))


def add_command(commands: Any, name: str, command: str, help_text: str) -> argparse.ArgumentParser:
    """Add a command; ``command`` says where its function is, as ``module:function``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}."
    )
    parser.set_defaults(command=f"launcher.commands.{command}", parser=parser)
    return parser
