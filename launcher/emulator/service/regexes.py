"""The regular expressions of metadata, judged by RE2 in time that grows with the value alone.

Dataflow reads those of POSIX egrep. An expression that Python's own matcher needs years for must
not stop the local Dataflow. https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

import functools
from typing import Any

import re2


class BadRegexError(ValueError):
    """An expression cannot be read."""


def matches_whole(regex: str, value: str) -> bool:
    """Report whether an expression matches a value from its beginning to its end.

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
