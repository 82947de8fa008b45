"""The records for template parameters and templates.

Standard library only, like ``template.parameters``. Field names and ``ParamType`` mirror
``ParameterMetadata`` of the Dataflow REST API:
https://cloud.google.com/dataflow/docs/reference/rest/v1b3/ParameterMetadata
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class ParamType(StrEnum):
    """The input picker that the Cloud Console shows (``ParameterMetadata.paramType``)."""

    TEXT = "TEXT"
    NUMBER = "NUMBER"
    BOOLEAN = "BOOLEAN"
    ENUM = "ENUM"
    GCS_READ_FILE = "GCS_READ_FILE"
    GCS_WRITE_FILE = "GCS_WRITE_FILE"
    PUBSUB_TOPIC = "PUBSUB_TOPIC"
    PUBSUB_SUBSCRIPTION = "PUBSUB_SUBSCRIPTION"


class ParameterError(ValueError):
    """A parameter is unknown, missing or has a value that its declaration refuses."""


@dataclass(frozen=True, kw_only=True)
class EnumOption:
    """One choice of an ``ENUM`` parameter."""

    value: str
    label: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One template parameter.

    ``regex`` is anchored and written in the dialect that Python and POSIX egrep read alike: no
    ``\\d``, no lookaround, no backreference; for a ``NUMBER`` it decides which numbers are valid.
    """

    name: str
    label: str
    help_text: str
    param_type: ParamType
    group: str
    is_optional: bool = False
    default: str | int | None = None
    regex: str | None = None
    enum_options: tuple[EnumOption, ...] = ()

    def parse(self, value: str) -> str | int | float:
        """Return the value in its own type.

        Raises:
            ParameterError: it does not match the regex, or is not an option.
        """
        options = [option.value for option in self.enum_options]
        if options and value not in options:
            raise ParameterError(
                f"--{self.name} {value!r}: not one of {', '.join(options)}"
                f"{did_you_mean(value, options)}"
            )
        if self.regex and not re.fullmatch(self.regex, value):
            raise ParameterError(
                f"--{self.name} {value!r}: does not match {self.regex}. {self.help_text}"
            )
        if self.param_type is not ParamType.NUMBER:
            return value
        return int(value) if value.isdecimal() else float(value)


@dataclass(frozen=True, kw_only=True)
class Template:
    """A Flex Template: its names, its streaming modes and the parameters that it takes.

    A streaming template states which of Dataflow's streaming modes it supports; the default is
    "AT_LEAST_ONCE" or "EXACTLY_ONCE". A batch template states none.
    """

    name: str
    title: str
    description: str
    streaming: bool
    supports_at_least_once: bool | None = None
    supports_exactly_once: bool | None = None
    default_streaming_mode: str | None = None
    parameters: tuple[Parameter, ...]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest of ``names``, or ""."""
    names = list(names)
    nearest = [each for each in names if each.casefold() == name.casefold()]
    nearest = nearest or difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
