"""Find every value of a JSON document whose type differs from its REST schema, all at once.

``launcher.google.rest`` stops at the first; a user who corrects a file wants to see all of them.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from launcher.google.rest import camel_case

_NAMES = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Sorted:
    """The part of a document that fits its record, and the problems of the rest, in words."""

    document: Any
    wrong: tuple[str, ...]


def sort_types(record_type: type[Any], document: object, *, where: str) -> Sorted:
    """Return the part of a document that fits its record, and the problems of the rest.

    Args:
        where: the document's name, for messages.
    """
    wrong: list[str] = []
    kept = _sort(record_type, document, where, wrong)
    return Sorted({} if kept is _DROPPED else kept, tuple(wrong))


_DROPPED = object()


def _sort(kind: Any, value: object, path: str, wrong: list[str]) -> Any:
    origin = typing.get_origin(kind)
    if origin is types.UnionType:
        (kind,) = (each for each in typing.get_args(kind) if each is not types.NoneType)
        return _sort(kind, value, path, wrong)
    if origin is tuple:
        return _sort_list(typing.get_args(kind)[0], value, path, wrong)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            return _drop(path, "an object", value, wrong)
        item = typing.get_args(kind)[1]
        sorted_items = {
            key: _sort(item, each, f"{path}.{key}", wrong) for key, each in value.items()
        }
        return {key: each for key, each in sorted_items.items() if each is not _DROPPED}
    if dataclasses.is_dataclass(kind):
        return _sort_object(kind, value, path, wrong)
    if kind is Any:
        return value
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    is_number = kind in (int, float) and isinstance(value, (int, str)) and _reads(kind, value)
    if fits or (is_number and not isinstance(value, bool)):
        return value
    return _drop(path, _NAMES.get(kind, kind.__name__), value, wrong)


def _sort_list(item: Any, value: object, path: str, wrong: list[str]) -> Any:
    if not isinstance(value, list):
        expected = f"a list, [{value!r:.60}]" if isinstance(value, item) else "a list"
        return _drop(path, expected, value, wrong)
    found = [_sort(item, each, f"{path}[{index}]", wrong) for index, each in enumerate(value)]
    return [each for each in found if each is not _DROPPED]


def _sort_object(kind: Any, value: object, path: str, wrong: list[str]) -> Any:
    if not isinstance(value, Mapping):
        return _drop(path, "an object", value, wrong)
    kept = dict(value)
    for field, each in typing.get_type_hints(kind).items():
        key = camel_case(field)
        if kept.get(key) is None:
            continue
        kept[key] = _sort(each, kept[key], f"{path}.{key}" if path else key, wrong)
        if kept[key] is _DROPPED:
            del kept[key]
    missing = [key for key in _list_required(kind) if kept.get(key) is None]
    unset = [key for key in missing if value.get(key) is None]
    wrong.extend(f"{path}.{key}: missing" if path else f"{key}: missing" for key in unset)
    return _DROPPED if missing else kept


def _list_required(kind: Any) -> Iterator[str]:
    for field in dataclasses.fields(kind):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            yield camel_case(field.name)


def _reads(kind: type[Any], value: Any) -> bool:
    try:
        kind(value)
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def _drop(path: str, expected: str, value: object, wrong: list[str]) -> object:
    wrong.append(f"{path}: expected {expected}, got {value!r:.80}")
    return _DROPPED
