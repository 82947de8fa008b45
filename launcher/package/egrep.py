"""Regular expressions of templates, which the service reads as POSIX egrep, read by Python."""

from __future__ import annotations

import re

# https://pubs.opengroup.org/onlinepubs/9699919799/basedefs/V1_chap09.html, in the C locale
_CLASSES = {
    "alnum": "A-Za-z0-9",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "digit": "0-9",
    "lower": "a-z",
    "punct": r"!-/:-@\[-`{-~",
    "space": r" \t\n\r\f\v",
    "upper": "A-Z",
    "xdigit": "A-Fa-f0-9",
}
_CLASS = re.compile(rf"\[:({'|'.join(_CLASSES)}):\]")


def compile_egrep(regex: str) -> re.Pattern[str]:
    """Return the expression with its character classes, ``[:alnum:]``, as Python knows them.

    Raises:
        re.error: it cannot be read.
    """
    return re.compile(_CLASS.sub(lambda match: _CLASSES[match[1]], regex))
