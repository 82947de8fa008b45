"""Converts Arrow columns to pandas columns: exactly, and each row independently of the others.

Arrow's own conversion, except where it would give other values or types:

- Dictionaries are decoded, because their codes differ between row groups.
- Lists and structs keep their integers even if one is missing, and times keep their nanoseconds and
  zone.
- Times of day with nanoseconds (``time64[ns]``) become ``timedelta64[ns]`` since midnight:
  ``datetime.time`` holds microseconds.
- Tensors (``arrow.fixed_shape_tensor``) keep their shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from template.arrow_types import replace_types
from template.blocks import object_cells
from template.sources.kinds import LARGEST_EXACT

_DAY = 86_400 * 10**9
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_EXACT_IN_LISTS = (
    pa.types.is_boolean,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_decimal,
)
_LIST_VIEWS = (pa.types.is_list_view, pa.types.is_large_list_view)


def decode_dictionary(column: pa.Array) -> pa.Array:
    """Return a dictionary's values; other columns unchanged.

    Raises:
        ValueError: an index is beyond the dictionary, which would otherwise end the process later.
    """
    if not pa.types.is_dictionary(column.type):
        if (
            pa.types.is_nested(column.type)
            and replace_types(column.type, pa.types.is_dictionary, pa.null()) != column.type
        ):
            column.validate(full=True)
        return column
    limits = pa.compute.min_max(column.indices)
    lowest, highest = limits["min"].as_py(), limits["max"].as_py()
    if lowest is not None and not 0 <= lowest <= highest < len(column.dictionary):
        raise ValueError(f"{lowest if lowest < 0 else highest} is beyond its dictionary")
    return column.dictionary_decode()


def make_frame(batch: pa.RecordBatch) -> pd.DataFrame:
    """Return a batch as a frame.

    Raises:
        Exception: a value cannot be held; Arrow, pandas and Python raise various types.
    """
    special = {
        field.name: _convert(column)
        for field, column in zip(batch.schema, batch.columns, strict=True)
        if not _is_plain(column)
    }
    if not special:
        whole: pd.DataFrame = batch.to_pandas(ignore_metadata=True)
        return whole
    plain = [name for name in batch.schema.names if name not in special]
    frame = batch.select(plain).to_pandas(ignore_metadata=True)
    columns = {name: special.get(name, frame.get(name)) for name in batch.schema.names}
    return pd.DataFrame(columns, index=pd.RangeIndex(len(batch)), copy=False)


def _is_plain(column: pa.Array) -> bool:
    type_ = column.type
    if pa.types.is_nested(type_):
        return _is_plain_nested(column)
    return not (
        pa.types.is_dictionary(type_)
        or type_ == pa.time64("ns")
        or isinstance(type_, pa.FixedShapeTensorType)
        or (pa.types.is_timestamp(type_) and type_.tz is not None)
        or _holds_not_a_time(column)
    )


def _holds_not_a_time(column: pa.Array) -> bool:
    """Return whether a value is the one that numpy and pandas reserve for a missing time."""
    if not (pa.types.is_timestamp(column.type) or pa.types.is_duration(column.type)):
        return False
    lowest = pa.compute.min_max(column.cast(pa.int64()))["min"].as_py()
    return bool(lowest == -(2**63))


def _is_plain_nested(column: pa.Array) -> bool:
    """Return whether Arrow converts the cells of lists, structs and maps exactly and uniformly."""
    type_ = column.type
    if any(is_list(type_) for is_list in _LISTS):
        return _is_plain_nested(column.values)
    if pa.types.is_struct(type_):
        return all(_is_plain_nested(column.field(number)) for number in range(type_.num_fields))
    if pa.types.is_map(type_):
        return _is_plain_nested(column.keys) and _is_plain_nested(column.items)
    if pa.types.is_integer(type_):
        return not column.null_count
    return any(is_exact(type_) for is_exact in _EXACT_IN_LISTS)


def _convert(column: pa.Array) -> Any:
    """Return a column of a special type as a Series or an array."""
    type_ = column.type
    if pa.types.is_dictionary(type_):
        decoded = decode_dictionary(column)
        return _convert(decoded) if not _is_plain(decoded) else decoded.to_pandas()
    if type_ == pa.time64("ns"):
        return _convert_times(column)
    if _holds_not_a_time(column):
        raise ValueError("-2**63 is a missing time in numpy and pandas")
    if pa.types.is_timestamp(type_):
        _check_calendar(column)
        return column.to_pandas()
    return object_cells([read_item(cell) for cell in decode_dictionary(column)])


def _convert_times(column: pa.Array) -> Any:
    nanoseconds = column.cast(pa.int64())
    limits = pa.compute.min_max(nanoseconds)
    lowest, highest = limits["min"].as_py(), limits["max"].as_py()
    if lowest is not None and not 0 <= lowest <= highest < _DAY:
        raise ValueError(f"{lowest if lowest < 0 else highest} ns is not a time of a day")
    return nanoseconds.cast(pa.duration("ns")).to_numpy(zero_copy_only=False)


def _check_calendar(column: pa.Array) -> None:
    """Raise if the local time of a timestamp with a zone is not in the years 1 to 9999."""
    limits = pa.compute.min_max(column.cast(pa.int64()))
    for limit in ("min", "max"):
        number = limits[limit].as_py()
        if number is None:
            continue
        try:
            local = pd.Timestamp(np.datetime64(number, column.type.unit), tz="UTC")
            local.tz_convert(column.type.tz).to_pydatetime(warn=False)
        except (ValueError, OverflowError, NotImplementedError) as error:
            raise ValueError("a local time that is beyond the calendar") from error


def read_item(cell: pa.Scalar) -> Any:
    """Return one cell, or one value within a cell."""
    type_ = cell.type
    if not cell.is_valid:
        return None
    if isinstance(type_, pa.FixedShapeTensorType):
        return cell.to_numpy().copy()
    if isinstance(type_, pa.BaseExtensionType):
        return read_item(cell.value)
    if pa.types.is_dictionary(type_):
        return read_item(cell.value)
    if pa.types.is_map(type_):
        entries = cell.values
        return list(
            zip(map(read_item, entries.field(0)), map(read_item, entries.field(1)), strict=True)
        )
    if any(is_list(type_) for is_list in (*_LISTS, *_LIST_VIEWS)):
        return _array(cell.values)
    if pa.types.is_struct(type_):
        names = [type_.field(number).name for number in range(type_.num_fields)]
        return {name: read_item(cell[number]) for number, name in enumerate(names)}
    if pa.types.is_timestamp(type_) or pa.types.is_duration(type_) or pa.types.is_time64(type_):
        column = pa.repeat(cell, 1)
        return (column.to_pandas() if _is_plain(column) else pd.Series(_convert(column))).iloc[0]
    return cell.as_py()


def _array(values: pa.Array) -> Any:
    """Return one list as an array, which holds objects if numbers would not be exact."""
    type_ = values.type
    if pa.types.is_integer(type_) and values.null_count:
        numbers = values.to_pylist()
        if any(number is not None and abs(number) > LARGEST_EXACT for number in numbers):
            return object_cells(numbers)
        return np.array([np.nan if number is None else number for number in numbers])
    if pa.types.is_nested(type_) or not _is_plain(values):
        if type_ == pa.time64("ns"):
            return _convert_times(values)
        return object_cells([read_item(value) for value in values])
    return values.to_pandas().to_numpy()
