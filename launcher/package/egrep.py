"""Regular expressions of templates, which the service reads as POSIX egrep, judged by RE2.

RE2's time grows linearly with the value for any expression; an expression in an unknown template
can keep Python's own matcher busy for years. https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Any


class EgrepError(ValueError):
    """An expression cannot be read."""


class Match(Enum):
    """How an expression matches a value: fully, in part, or not."""

    NONE = "none"
    PART = "part"
    WHOLE = "whole"


def match_egrep(regex: str, value: str) -> Match:
    """Match a value; bounded in time.

    Raises:
        EgrepError: the expression cannot be read, or the value is not text.
    """
    pattern = _compile(regex)
    try:
        if pattern.fullmatch(value):
            return Match.WHOLE
        return Match.PART if pattern.search(value) else Match.NONE
    except UnicodeEncodeError as error:
        raise EgrepError(f"{value!r} is not text") from error


def check_egrep(regex: str) -> None:
    """Check that an expression can be read.

    Raises:
        EgrepError: it cannot.
    """
    _compile(regex)


@lru_cache
def _compile(regex: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(regex, options)
    except re2.error as error:
        raise EgrepError(error.args[0].decode()) from error
    except UnicodeEncodeError as error:
        raise EgrepError("it is not text") from error
