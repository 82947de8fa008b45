"""Short, readable ids for parametrized cases, derived from their values."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping
from typing import Any

_MOST = 36


def make_id(value: Any) -> str | None:
    """Return what a report shows for a value; None if pytest's own id is as good, or none fits."""
    if value is None or isinstance(value, float):
        return None
    if isinstance(value, int):
        digits = len(str(abs(value)))
        return None if digits <= _MOST else f"{str(value)[:6]}.. ({digits} digits)"
    text = " ".join(_describe(value).split())
    if not text:
        return "empty"
    text = "".join(each if each.isprintable() and each.isascii() else "?" for each in text)
    return text if len(text) <= _MOST else f"{text[: _MOST - 2].rstrip()}.."


@functools.singledispatch
def _describe(value: Any) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        given = {
            field.name: getattr(value, field.name)
            for field in dataclasses.fields(value)
            if getattr(value, field.name) != field.default
        }
        return f"{type(value).__name__} {_describe(given)}"
    name = getattr(value, "__name__", "")
    if name and name != "<lambda>":
        return str(name)
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__} {getattr(value, 'dtype', '')} {tuple(shape)}"
    text = str(value)
    return type(value).__name__ if " at 0x" in text else text


@_describe.register
def _(value: str) -> str:
    return value.encode("unicode_escape").decode() if not value.isprintable() else value


@_describe.register
def _(value: bytes) -> str:
    return str(value[:_MOST])[2:-1]


@_describe.register
def _(value: BaseException) -> str:
    return f"{type(value).__name__} {value}"


@_describe.register(Mapping)
def _(value: Mapping[Any, Any]) -> str:
    return " ".join(f"{key}={_describe(each)}" for key, each in value.items()) or "{}"


@_describe.register(set | frozenset)
def _(value: Collection[Any]) -> str:
    return ",".join(sorted(map(_describe, value))) or "{}"  # the same in every worker


@_describe.register(list | tuple)
def _(value: Collection[Any]) -> str:
    return ",".join(map(_describe, value)) or "[]"
