"""INT96 timestamps, which Arrow reads as nanoseconds that wrap outside the years 1677 to 2262.

Therefore they are read in milliseconds too, which never wrap. A row outside those years gets the
column in microseconds, exactly, or is refused: many databases write 9999-12-31 for "never".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from template.arrow_types import replace_types

_LARGEST_MS = (2**63 - 1) // 10**6 - 1  # as nanoseconds
_LARGEST_US_MS = (2**63 - 1) // 10**3 - 1  # as microseconds


def find_int96_columns(parquet: pyarrow.parquet.ParquetFile) -> tuple[str, ...]:
    """Return the columns of a file that hold INT96."""
    schema = parquet.schema
    paths = [
        schema.column(number).path
        for number in range(len(schema))
        if schema.column(number).physical_type == "INT96"
    ]
    return tuple(
        name
        for name in parquet.schema_arrow.names
        if any(path == name or path.startswith(f"{name}.") for path in paths)
    )


def separate_int96(
    batch: pa.RecordBatch, milliseconds: pa.RecordBatch
) -> tuple[list[tuple[np.ndarray, pa.RecordBatch]], dict[int, str]]:
    """Split a batch so that each part holds its timestamps exactly.

    Args:
        batch: rows with INT96 columns as nanoseconds.
        milliseconds: these columns of the same rows, as milliseconds.

    Returns:
        The rows of each part with the part, and the problems of rows in no part.
    """
    codes = np.zeros(len(batch), dtype=np.int64)
    problems: dict[int, str] = {}
    far_columns: dict[str, pa.Array] = {}
    for number, name in enumerate(milliseconds.schema.names):
        column, coarse = batch.column(name), milliseconds.column(name)
        if not pa.types.is_timestamp(column.type):
            for row in _find_far_nested(coarse):
                problems[row] = (
                    f"column {name!r}: it holds a timestamp outside the years 1677 to 2262"
                )
            continue
        ms = coarse.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        far = np.abs(ms) > _LARGEST_MS
        if not far.any():
            continue
        wrapped = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            rest = (wrapped.view(np.uint64) - ms.view(np.uint64) * np.uint64(10**6)).view(np.int64)
            us = ms * 1000 + rest // 1000
        inexact = far & ((np.abs(ms) > _LARGEST_US_MS) | (rest % 1000 != 0) | (rest < 0))
        for row in np.flatnonzero(inexact).tolist():
            problems[row] = f"column {name!r}: {ms[row]} ms since 1970 fits no timestamp exactly"
        far_columns[name] = pa.array(us, pa.timestamp("us"), mask=~far)
        codes |= far.astype(np.int64) << number
    codes[list(problems)] = -1
    return list(_take_parts(batch, codes, far_columns, milliseconds.schema.names)), problems


def _take_parts(
    batch: pa.RecordBatch, codes: np.ndarray, far_columns: dict[str, pa.Array], names: list[str]
) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
    for code in np.unique(codes[codes >= 0]).tolist():
        part = batch
        for number, name in enumerate(names):
            if code >> number & 1:
                part = part.set_column(part.schema.get_field_index(name), name, far_columns[name])
        rows = np.flatnonzero(codes == code)
        yield rows, part if len(rows) == len(batch) else part.take(pa.array(rows))


def _find_far_nested(column: pa.Array) -> Iterator[int]:
    integers = column.cast(replace_types(column.type, pa.types.is_timestamp, pa.int64()))
    cells = integers.to_pylist()
    return (row for row, cell in enumerate(cells) if _is_far(cell, column.type))


def _is_far(cell: Any, type_: pa.DataType) -> bool:
    """Return whether a timestamp in a cell is outside the years 1677 to 2262."""
    if cell is None:
        return False
    if pa.types.is_timestamp(type_):
        return bool(abs(cell) > _LARGEST_MS)
    if pa.types.is_list(type_):
        return any(_is_far(value, type_.value_type) for value in cell)
    if pa.types.is_map(type_):
        types = (type_.key_type, type_.item_type)
        return any(
            _is_far(value, each) for pair in cell for value, each in zip(pair, types, strict=True)
        )
    if pa.types.is_struct(type_):
        fields = [type_.field(number) for number in range(type_.num_fields)]
        return any(_is_far(cell[field.name], field.type) for field in fields)
    return False
