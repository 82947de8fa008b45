"""Reads JSON from outside, so that everything in it can be written again.

A lone surrogate would be stored and then fail every listing that shows it; objects nested a
thousand deep would break any code that walks through them. Both are refused here, for every API.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

_MOST_LEVELS = 100  # of objects and lists, as in protobuf's parsers


def parse_strictly(content: bytes) -> object:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON, not UTF-8, has a surrogate without its partner, or is nested
            too deep.
    """
    value: object = orjson.loads(content)
    if _is_deeper(value, _MOST_LEVELS):
        raise ValueError(f"nested more than {_MOST_LEVELS} levels deep")
    return value


def _is_deeper(value: object, levels: int) -> bool:
    """Return whether objects and lists are nested in more than the allowed levels."""
    layer = _containers([value])
    for _ in range(levels):
        layer = [inner for outer in layer for inner in _containers(outer)]
    return bool(layer)


def _containers(value: Iterable[object]) -> list[Any]:
    """Return the objects and lists among the members of an object or list."""
    members = value.values() if isinstance(value, dict) else value
    return [item for item in members if isinstance(item, dict | list)]
