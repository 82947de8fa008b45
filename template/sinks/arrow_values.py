"""Columns of predictions as Arrow, in which no value becomes another one.

The type that Arrow infers from Python's objects drops nanoseconds, time zones of times of day, and
the time of day after a date.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from pandas.api.types import infer_dtype

from template.arrow_types import replace_types
from template.sinks.json_values import to_pandas_time


def arrow_column(column: pd.Series[Any]) -> pa.Array | pa.ChunkedArray:
    """Return a column in the type of its values.

    Raises:
        Exception: no type holds them all, or Arrow cannot hold one; Arrow raises whatever comes.
    """
    if column.dtype != object or infer_dtype(column, skipna=True) == "string":
        return pa.array(column, from_pandas=True)
    cells = [_plain(cell) for cell in column]
    try:
        values = pa.array(cells, from_pandas=True)
    except OverflowError:
        cells = [_with_decimals(cell) for cell in cells]
        values = pa.array(cells, from_pandas=True)
    exact_type = values.type
    for leaf in set(_find_leaves(values.type)):
        if pa.types.is_date(leaf) and _holds(cells, _is_time_of_a_day):
            raise TypeError("dates and timestamps in one column")
        if pa.types.is_time(leaf) and _holds(cells, _has_zone):
            raise TypeError("a time of day with a time zone, which Parquet cannot hold")
        if leaf.equals(pa.duration("us")) and _holds(cells, _has_nanoseconds):
            exact_type = replace_types(exact_type, leaf.equals, pa.duration("ns"))
        if pa.types.is_timestamp(leaf) and leaf.unit == "us" and _holds(cells, _has_nanoseconds):
            exact_type = replace_types(exact_type, leaf.equals, pa.timestamp("ns", tz=leaf.tz))
    if exact_type.equals(values.type):
        return values
    return pa.array(cells, type=exact_type, from_pandas=True)


def _plain(cell: Any) -> Any:
    """Return a cell as Arrow takes it beside others."""
    if isinstance(cell, torch.Tensor) or (isinstance(cell, np.ndarray) and cell.ndim > 1):
        return cell.tolist()
    if isinstance(cell, np.datetime64 | np.timedelta64):
        return to_pandas_time(cell)
    return cell


def _with_decimals(cell: Any) -> Any:
    """Return a value with decimals for integers that are not int64, nested ones too."""
    if type(cell) is int and not -(2**63) <= cell < 2**63:
        return Decimal(cell)
    if isinstance(cell, Mapping):
        return {name: _with_decimals(value) for name, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_with_decimals(value) for value in cell]
    if isinstance(cell, np.ndarray) and cell.dtype.kind in "uO":
        return _with_decimals(cell.tolist())
    return cell


def _find_leaves(type_: pa.DataType) -> Iterator[pa.DataType]:
    if not type_.num_fields:
        yield type_
    for position in range(type_.num_fields):
        yield from _find_leaves(type_.field(position).type)


def _holds(cells: Iterable[Any], is_wanted: Callable[[Any], bool]) -> bool:
    """Say whether there is such a value in some cells, which may be nested."""
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


def _is_time_of_a_day(value: Any) -> bool:
    return isinstance(value, datetime.datetime)


def _has_zone(value: Any) -> bool:
    return isinstance(value, datetime.time) and value.tzinfo is not None


def _has_nanoseconds(value: Any) -> bool:
    if isinstance(value, pd.Timestamp):
        return bool(value.nanosecond)
    return isinstance(value, pd.Timedelta) and bool(value.nanoseconds)
