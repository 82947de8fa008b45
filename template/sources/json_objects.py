"""JSON objects as rows: parsed with exact numbers, and put into frames."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import orjson
import pandas as pd

from template.blocks import object_cells
from template.parameters import did_you_mean
from template.sources.chunks import BOM
from template.sources.columns import check_passthrough
from template.sources.kinds import Group, Kind, find_kinds, group_rows, make_cells, make_frame

_LONG_INTEGER = re.compile(rb"(?<![\d.])\d{19,}(?![\d.eE])")
_AS_ZEROS = bytes.maketrans(b"0123456789", b"0" * 10)
_LONG = b"0" * 19
# Eight characters from 0x30 to 0x3f at a time: digits, and a few others that occur in JSON.
_DIGITS_MASK, _DIGITS = np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x3030303030303030)
_CACHED_WORDS = 16 << 10  # at a time, so that they stay in the CPU's cache
MOST_LEVELS = 250
"""How deep a value may be nested; deeper JSON can be read, but not written."""


def parse_object(line: bytes) -> dict[str, Any]:
    """Return the JSON object in ``line``, with all digits of its integers.

    Raises:
        ValueError: there is none, or it is nested too deep.
    """
    # orjson turns integers of more than 64 bits into floats.
    if _LONG in line.translate(_AS_ZEROS) and _LONG_INTEGER.search(line):
        return _check_object(line, _parse_exactly(line))
    return parse_short_numbers(line)


def parse_short_numbers(line: bytes) -> dict[str, Any]:
    """Parse an object like ``parse_object``, if it has no integer of 19 digits or more."""
    try:
        record = orjson.loads(line.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {_find_token(line) or error}") from None
    return _check_object(line, record)


def may_hold_long_numbers(data: bytes) -> bool:
    """Return whether there may be integers of 19 digits or more, which contain a word of digits."""
    words = np.frombuffer(data, np.uint64, len(data) // 8)
    return any(
        ((words[start : start + _CACHED_WORDS] & _DIGITS_MASK) == _DIGITS).any()
        for start in range(0, len(words), _CACHED_WORDS)
    )


def _parse_exactly(line: bytes) -> Any:
    try:
        return json.loads(line.removeprefix(BOM), parse_constant=_refuse_token)
    except RecursionError:
        raise ValueError("not JSON: nested too deep") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None


def _check_object(line: bytes, record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise ValueError(f"a JSON {type(record).__name__}, not an object")  # noqa: TRY004
    if _has_many_brackets(line) and _is_deep(record):
        raise ValueError(f"a value is nested more than {MOST_LEVELS} deep")
    return record


def _has_many_brackets(line: bytes) -> bool:
    """Return whether there may be enough brackets for this many levels; fast if there are few."""
    for bracket in (b"[", b"{"):
        position = found = 0
        while (position := line.find(bracket, position) + 1) > 0:
            found += 1
            if found * 2 > MOST_LEVELS:
                return True
    return False


def _is_deep(record: dict[str, Any]) -> bool:
    level: list[Any] = [record]
    for _ in range(MOST_LEVELS):
        values = [
            value for each in level for value in (each.values() if type(each) is dict else each)
        ]
        level = [value for value in values if type(value) in (dict, list)]
    return bool(level)


def _find_token(line: bytes) -> str | None:
    """Return what is wrong with a line if it is a number that JSON does not have."""
    try:
        json.loads(line.removeprefix(BOM), parse_constant=_refuse_token)
    except _TokenError as error:
        return str(error)
    except (ValueError, RecursionError):
        pass
    return None


class _TokenError(ValueError):
    pass


def _refuse_token(token: str) -> NoReturn:
    raise _TokenError(f"{token} is not a number in JSON; write null, or a text")


def find_passthrough(record: Mapping[str, Any], line: bytes, columns: Sequence[str]) -> list[Any]:
    """Return the JSON values of some fields, which share no memory with ``record``.

    Raises:
        UnreadableError: it lacks one.
    """
    if not columns:
        return []
    check_passthrough(record, columns)
    if any(isinstance(record[column], list | dict) for column in columns):
        record = parse_object(line)
    return [record[column] for column in columns]


def find_key(record: Mapping[str, Any], key_column: str) -> str:
    """Return the key that an object holds.

    Raises:
        ValueError: the object has none.
    """
    value = record.get(key_column)
    if value is None or value == "":
        near = "" if key_column in record else did_you_mean(key_column, record)
        raise ValueError(f"no value in the key column {key_column!r}{near}")
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer of more than 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def make_frames(records: Sequence[Mapping[str, Any]]) -> Iterator[tuple[pd.DataFrame, Group]]:
    """Yield frames of objects with the same fields, each with its rows.

    The columns are in the first object's order.
    """
    columns = {name: [record[name] for record in records] for name in records[0]}
    alike: dict[str, Kind] = {}
    mixed: dict[str, np.ndarray] = {}
    for name, cells in columns.items():
        kinds = find_kinds(cells)
        if isinstance(kinds, Kind):
            alike[name] = kinds
        else:
            mixed[name] = kinds
    groups = group_rows(mixed) if mixed else [Group(rows=np.arange(len(records)), kinds={})]
    for group in groups:
        rows = group.rows.tolist()
        kinds_of_group = {**alike, **group.kinds}
        found = {
            name: make_cells(
                kinds_of_group[name],
                cells if len(rows) == len(records) else [cells[row] for row in rows],
            )
            for name, cells in columns.items()
        }
        yield make_frame(found, len(rows)), group


def object_columns(records: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return the values of objects with the same fields, each in its own cell."""
    return {name: object_cells([record[name] for record in records]) for name in records[0]}
