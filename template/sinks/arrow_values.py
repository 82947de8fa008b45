"""Converts columns of predictions to Arrow without changing a value.

The types that Arrow infers from Python objects would drop nanoseconds, the time of day after a
date, digits of decimals among floats, and texts among bytes.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import infer_dtype

from template.arrow_types import replace_types
from template.sinks.json_values import to_pandas_time
from template.tensors import is_tensor

_CONFLICTS: tuple[tuple[Callable[[pa.DataType], bool], type, str], ...] = (
    (pa.types.is_date, datetime.datetime, "dates and timestamps in one column"),
    (pa.types.is_floating, Decimal, "decimals and floats in one column"),
    (pa.types.is_binary, str, "texts and bytes in one column"),
)
"""An Arrow type, and a Python type whose values it would change.

The writer then puts the rows into different files.
"""


def arrow_column(column: pd.Series[Any]) -> pa.Array | pa.ChunkedArray:
    """Return a column in the type of its values.

    Raises:
        Exception: no type holds them all, or Arrow cannot hold a value; Arrow raises various types.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.SparseDtype):
        column = pd.Series(np.asarray(column))
    elif isinstance(dtype, np.dtype) and not dtype.isnative:
        column = column.astype(dtype.newbyteorder("="))
    if column.dtype != object or infer_dtype(column, skipna=True) == "string":
        return pa.array(column, from_pandas=True)
    cells = [_plain(cell) for cell in column]
    try:
        values = pa.array(cells, from_pandas=True)
    except OverflowError:
        cells = [_with_decimals(cell) for cell in cells]
        values = pa.array(cells, from_pandas=True)
    exact_type = values.type
    types = _find_types(cells) - {type(pd.NaT)}  # a datetime to Python
    for leaf in set(find_leaves(values.type)):
        for is_leaf, type_, problem in _CONFLICTS:
            if is_leaf(leaf) and any(issubclass(each, type_) for each in types):
                raise TypeError(problem)
        if pa.types.is_time(leaf) and _holds(cells, _has_zone):
            raise TypeError("a time of day with a time zone, which Parquet cannot hold")
        other = _has_no_zone if getattr(leaf, "tz", None) else _has_zone
        if pa.types.is_timestamp(leaf) and _holds(cells, other):
            raise TypeError("timestamps with and without a time zone in one column")
        if leaf.equals(pa.duration("us")) and _holds(cells, _has_nanoseconds):
            exact_type = replace_types(exact_type, leaf.equals, pa.duration("ns"))
        if pa.types.is_timestamp(leaf) and leaf.unit == "us" and _holds(cells, _has_nanoseconds):
            exact_type = replace_types(exact_type, leaf.equals, pa.timestamp("ns", tz=leaf.tz))
    if exact_type.equals(values.type):
        return values
    return pa.array(cells, type=exact_type, from_pandas=True)


def _plain(cell: Any) -> Any:
    """Return a cell in a form that Arrow accepts together with other cells."""
    if is_tensor(cell) or (isinstance(cell, np.ndarray) and cell.ndim > 1):
        return cell.tolist()
    if isinstance(cell, np.datetime64 | np.timedelta64):
        return to_pandas_time(cell)
    return cell


def _with_decimals(cell: Any) -> Any:
    """Return a value with decimals instead of integers beyond int64, nested ones too."""
    if type(cell) is int and not -(2**63) <= cell < 2**63:
        return Decimal(cell)
    if isinstance(cell, Mapping):
        return {name: _with_decimals(value) for name, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_with_decimals(value) for value in cell]
    if isinstance(cell, np.ndarray) and cell.dtype.kind in "uO":
        return _with_decimals(cell.tolist())
    return cell


def find_leaves(type_: pa.DataType) -> Iterator[pa.DataType]:
    """Yield the value types that a type contains, nested ones too."""
    if not type_.num_fields:
        yield type_
    for position in range(type_.num_fields):
        yield from find_leaves(type_.field(position).type)


def _find_types(cells: Sequence[Any]) -> set[type]:
    """Return the types of the values in some cells, which may be nested."""
    types = set(map(type, cells))
    if not types.isdisjoint({list, tuple, dict, np.ndarray}):
        for cell in cells:
            if isinstance(cell, dict):
                types |= _find_types(list(cell.values()))
            elif isinstance(cell, list | tuple):
                types |= _find_types(cell)
            elif isinstance(cell, np.ndarray) and cell.dtype == object:
                types |= _find_types(cell.tolist())
    return types


def _holds(cells: Iterable[Any], is_wanted: Callable[[Any], bool]) -> bool:
    """Return whether cells hold such a value, perhaps nested."""
    for cell in cells:
        if isinstance(cell, Mapping):
            found = _holds(cell.values(), is_wanted)
        elif isinstance(cell, list | tuple) or (isinstance(cell, np.ndarray) and cell.ndim):
            found = _holds(cell, is_wanted)
        else:
            found = is_wanted(cell)
        if found:
            return True
    return False


def _has_zone(value: Any) -> bool:
    return isinstance(value, datetime.time | datetime.datetime) and value.tzinfo is not None


def _has_no_zone(value: Any) -> bool:
    return isinstance(value, datetime.datetime) and value.tzinfo is None and value is not pd.NaT


def _has_nanoseconds(value: Any) -> bool:
    if isinstance(value, pd.Timestamp):
        return bool(value.nanosecond)
    return isinstance(value, pd.Timedelta) and bool(value.nanoseconds)
