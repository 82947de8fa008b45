"""Convert records to and from the JSON of Google's REST APIs.

This is the only conversion between the two: a frozen dataclass has the name of its REST schema, its
fields are the schema's properties in snake_case, and the JSON has them in camelCase. Keys of
mappings (labels, parameters) are data and do not change. As in proto3 JSON, unset values are
omitted: ``None`` and empty collections, never ``False`` or ``0``.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Hashable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

from launcher.errors import FormatError

Record = TypeVar("Record")


def to_rest(record: Any) -> dict[str, Any]:
    """Return the JSON object of a record."""
    json_object: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if value is None or (isinstance(value, (tuple, Mapping)) and not value):
            continue
        json_object[camel_case(field.name)] = _to_json(value)
    return json_object


def from_rest(record_type: type[Record], json_object: Any, *, where: str = "") -> Record:
    """Return the record of a JSON object; properties that the record lacks are ignored.

    Args:
        where: path of the object in its document, for messages.

    Raises:
        FormatError: a value's type differs from the schema, or a required value is missing.
    """
    if not isinstance(json_object, Mapping):
        raise FormatError(f"{where or record_type.__name__}: expected an object{_got(json_object)}")
    values: dict[str, Any] = {}
    for name, value_type, is_required in _fields(typing.cast(Hashable, record_type)):
        key = camel_case(name)
        path = f"{where}.{key}" if where else key
        if json_object.get(key) is not None:
            values[name] = _from_json(value_type, json_object[key], path)
        elif is_required:
            raise FormatError(f"{path}: missing")
    return record_type(**values)


def camel_case(name: str) -> str:
    """Return ``disk_size_gb`` as ``diskSizeGb``."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def format_time(time: datetime) -> str:
    """Return a time as REST writes it, for example ``2026-11-22T09:30:00.500000Z``."""
    return time.isoformat().replace("+00:00", "Z")


def _to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_rest(value)
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return format_time(value)
    return value


@functools.cache
def _fields(record_type: Any) -> tuple[tuple[str, Any, bool], ...]:
    hints = typing.get_type_hints(record_type)
    return tuple(
        (
            field.name,
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(record_type)
    )


def _from_json(value_type: Any, value: Any, path: str) -> Any:
    origin = typing.get_origin(value_type)
    if origin is types.UnionType:
        (value_type,) = (t for t in typing.get_args(value_type) if t is not types.NoneType)
        return _from_json(value_type, value, path)
    if origin is tuple:
        if not isinstance(value, list):
            raise FormatError(f"{path}: expected a list{_got(value)}")
        item_type = typing.get_args(value_type)[0]
        return tuple(_from_json(item_type, v, f"{path}[{i}]") for i, v in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise FormatError(f"{path}: expected an object{_got(value)}")
        item_type = typing.get_args(value_type)[1]
        return {k: _from_json(item_type, v, f"{path}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(value_type):
        return from_rest(typing.cast(type, value_type), value, where=path)
    return _scalar_from_json(value_type, value, path)


def _scalar_from_json(value_type: Any, value: Any, path: str) -> Any:
    if value_type is Any:
        return value
    try:
        if value_type is datetime:
            return datetime.fromisoformat(value)
        if value_type is int and isinstance(value, str):
            return int(value)  # proto3 JSON writes 64-bit integers as strings
        if value_type is float and isinstance(value, int):
            return float(value)
        if isinstance(value_type, type) and issubclass(value_type, Enum):
            return value_type(value)
    except (ValueError, TypeError) as error:
        raise FormatError(f"{path}: {error}{_got(value)}") from error
    if not isinstance(value, value_type) or (isinstance(value, bool) and value_type is int):
        raise FormatError(f"{path}: expected {value_type.__name__}{_got(value)}")
    return value


def _got(value: Any) -> str:
    return f", got {value!r:.80}"
