"""The argparse classes and functions that the command line is built from."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from launcher.errors import InputError
from template.parameters import did_you_mean

_REQUIRED = ("the following arguments are required", "one of the arguments")


class CommandParser(argparse.ArgumentParser):
    """argparse with suggestions and the launcher's form of errors, without abbreviated flags."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )
        self._given: Sequence[str] = ()
        self.load: Load | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = sys.argv[1:] if args is None else args
        self.add_own()
        return super().parse_known_args(args, namespace)

    def add_own(self) -> None:
        """Load the command and add its flags, the first time."""
        load, self.load = self.load, None
        if load:
            self.set_defaults(parser=self)
            load(self)

    def error(self, message: str) -> NoReturn:
        # If an argument is missing, an unknown flag is often a misspelling of it.
        if message.startswith(_REQUIRED):
            for word in self._given:
                is_flag = word.startswith("--") and word != "--"
                if is_flag and word.partition("=")[0] not in self._flags:
                    self.refuse(word)
        named = re.sub(r"^argument (\S+):", r"\1:", message).replace(" argument --", " --")
        named = named.replace("expected one argument", "no value is given")
        raise InputError(f"{named}\nsee '{self.prog} --help'")

    def refuse(self, word: str) -> NoReturn:
        """Raise InputError for an argument that the command does not have."""
        name = word.partition("=")[0]
        longer = [flag for flag in self._flags if flag.startswith(name)]
        hint = did_you_mean(name, self._flags)
        if len(longer) == 1:
            hint = f"; did you mean {longer[0]!r}?"
        raise InputError(
            f"{name}: {self.prog} has no such argument{hint}\nsee '{self.prog} --help'"
        )

    @property
    def _flags(self) -> Iterable[str]:
        return self._option_string_actions

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            name = "/".join(action.option_strings) or action.metavar
            raise InputError(f"{name} {arg_string!r}: {error.message}") from error

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = list(action.choices or ())
        if choices and value not in choices:
            name = "/".join(action.option_strings) or action.metavar or action.dest
            raise argparse.ArgumentError(
                None,
                f"{name} {value!r}: one of {', '.join(choices)}{did_you_mean(value, choices)}",
            )


@dataclass(frozen=True)
class Number:
    """The type of a flag whose value is a number with a minimum."""

    least: float
    kind: type[int] | type[float] = int

    def __call__(self, text: str) -> float:
        """Read the number, as an int if the kind is int."""
        try:
            value = self.kind(text)
        except ValueError:
            value = None
        if value is None or not value >= self.least:  # nor NaN
            whole = "whole " if self.kind is int else ""
            raise argparse.ArgumentTypeError(f"expected a {whole}number of at least {self.least:g}")
        return value


class KeyValues(argparse.Action):
    """Collects ``KEY=VALUE``: one per flag or, if ``const`` is set, several separated by commas."""

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
    """Collects values: one per flag or, if ``const`` is set, several separated by commas."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        items = values.split(",") if self.const else [values]
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), *items))


Command = Callable[[argparse.Namespace], int]
Load = Callable[[CommandParser], None]


def add_command(commands: Any, name: str, help_text: str, load: Load) -> None:
    """Add a command whose module is loaded only when it is called.

    Args:
        load: loads the module, which adds its flags and its handler to the parser.
    """
    _add_parser(commands, name, help_text).load = load


def add_verb(verbs: Any, name: str, help_text: str, run: Command) -> CommandParser:
    """Add a command below another one, and return its parser for the flags."""
    parser = _add_parser(verbs, name, help_text)
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_verbs(parser: CommandParser) -> Any:
    """Make a command one of several verbs, and return what ``add_verb`` takes."""
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def set_example(parser: CommandParser, example: str) -> None:
    """Show a call of a command at the end of its help."""
    parser.epilog = f"example:\n  {example}"


def _add_parser(commands: Any, name: str, help_text: str) -> CommandParser:
    sentence = f"{help_text[0].upper()}{help_text[1:]}."
    parser: CommandParser = commands.add_parser(name, help=help_text, description=sentence)
    return parser
