"""The regular expressions of metadata, matched by RE2 in time linear in the value.

Dataflow reads those of POSIX egrep. An expression that would keep Python's matcher busy for years
must not stop the local Dataflow. https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

import functools
from typing import Any

import re2


class BadRegexError(ValueError):
    """An expression cannot be read."""


def matches_whole(regex: str, value: str) -> bool:
    """Return whether an expression matches a whole value.

    Raises:
        BadRegexError: it cannot be read.
    """
    return _compile(regex).fullmatch(value) is not None


@functools.lru_cache
def _compile(regex: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(regex, options)
    except re2.error as error:
        raise BadRegexError(error.args[0].decode()) from error
