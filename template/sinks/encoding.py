"""Encode blocks of predictions for a file format.

A row that the format cannot hold, such as a set in JSON, is a dead letter; its neighbours are
written.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from template.arrow_types import replace_types
from template.blocks import KEY
from template.dead_letters import PREDICTIONS, DeadLetter, count_dead_letter
from template.sinks.arrow_values import arrow_column
from template.sinks.json_values import column_holds_infinity, dump_json, to_pandas_time

_NEEDS_QUOTES = frozenset(',"\n\r')
_FLOAT_BYTES = 8  # of Python's

_TIME = pa.time64("ns")
Encoded = TypeVar("Encoded")


@dataclass(frozen=True, kw_only=True)
class CsvRows:
    """CSV rows: for each column the fields of all rows, quoted if they need it."""

    rows: int
    fields: Mapping[str, Sequence[str]]


def encode_block(
    block: pd.DataFrame, encode: Callable[[pd.DataFrame], Encoded]
) -> Iterator[Encoded | DeadLetter]:
    """Yield the encoded block, or its encodable parts and a dead letter for each other row.

    Such a row was counted as a prediction; the count is corrected.
    """
    try:
        encoded = encode(block)
    except Exception as error:  # encoding objects of other libraries may raise anything
        # orjson's error names the type; its cause gives the reason.
        failure = f"OutputError: the prediction cannot be written: {error.__cause__ or error}"
    else:
        yield encoded
        return
    if len(block) <= 1:
        PREDICTIONS.dec()
        count_dead_letter(failure)
        yield DeadLetter.of_row(block, 0, str(block[KEY].iloc[0]), failure)
        return
    half = len(block) // 2
    yield from encode_block(block.iloc[:half], encode)
    yield from encode_block(block.iloc[half:], encode)


def json_lines(block: pd.DataFrame) -> bytes:
    """Return a block as JSON Lines; NaN and None become null, see ``json_values``."""
    names = list(block.columns)
    rows = zip(*[_python_cells(column) for _, column in block.items()], strict=True)
    records = [dict(zip(names, row)) for row in rows]  # noqa: B905  (the hot loop)
    if not records:
        return b""
    # One call for all records is many times faster than one call for each. No JSON string can
    # contain this boundary, because its quotes are escaped; a nested object may.
    lines = dump_json(
        records, lambda _: any(column_holds_infinity(column) for _, column in block.items())
    )[1:-1]
    start = b"{%b:" % orjson.dumps(names[0])
    if lines.count(b"}," + start) == len(records) - 1:
        return lines.replace(b"}," + start, b"}\n" + start) + b"\n"
    return b"".join([dump_json(record) + b"\n" for record in records])


def csv_rows(block: pd.DataFrame) -> CsvRows:
    """Return a block as CSV; lists and similar values are JSON in their cells, bytes are base64.

    None and NaN are an empty field, an empty text is ``""``.
    """
    fields = {str(name): _csv_fields(column) for name, column in block.items()}
    "".join(chain.from_iterable(fields.values())).encode()  # text that is not UTF-8 raises here
    return CsvRows(rows=len(block), fields=fields)


def csv_header(columns: Sequence[str]) -> bytes:
    """Return the CSV header line."""
    return (",".join(map(_csv_field, columns)) + "\n").encode()


def arrow_table(block: pd.DataFrame) -> pa.Table:
    """Return a block as Arrow, each column in its values' type, which Parquet can hold."""
    table = pa.table({str(name): arrow_column(column) for name, column in block.items()})
    _check_schema(table.schema)
    return table


@functools.lru_cache(maxsize=256)
def _check_schema(schema: pa.Schema) -> None:
    """Raise what Arrow raises if Parquet cannot hold a schema."""
    pyarrow.parquet.ParquetWriter(io.BytesIO(), schema).close()


def _python_cells(column: pd.Series[Any]) -> list[Any]:
    """Return cells as Python values; times of day become texts, which keep nanoseconds."""
    if isinstance(column.dtype, pd.ArrowDtype):
        type_ = column.dtype.pyarrow_dtype
        texts = replace_types(type_, _TIME.equals, pa.string())
        if texts != type_:
            return list(column.array.__arrow_array__().cast(texts).to_pylist())
    return column.tolist()


def _csv_fields(column: pd.Series[Any]) -> list[str]:
    """Return the fields of a column; plain numbers and texts are formatted all at once."""
    cells = _python_cells(column)
    dtype = column.dtype
    if not isinstance(dtype, np.dtype):
        return list(map(_csv_field, cells))
    if dtype.kind in "biu":
        return list(map(str, cells))
    if dtype.kind == "f" and dtype.itemsize <= _FLOAT_BYTES:
        fields = list(map(repr, cells))
        for row in np.flatnonzero(np.isnan(column.to_numpy())).tolist():
            fields[row] = ""
        return fields
    if dtype.kind == "O" and set(map(type, cells)) == {str} and all(cells):
        text = "".join(cells)
        if not any(character in text for character in _NEEDS_QUOTES):
            return cells
    return list(map(_csv_field, cells))


def _csv_field(cell: Any) -> str:
    if isinstance(cell, str):
        # The csv module leaves a lone carriage return unquoted, which readers mistake for a line
        # end.
        if not cell or not _NEEDS_QUOTES.isdisjoint(cell):
            return '"' + cell.replace('"', '""') + '"'
        return cell
    if isinstance(cell, np.datetime64 | np.timedelta64):
        cell = to_pandas_time(cell)
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return ""
    if isinstance(cell, Decimal):
        return "" if cell.is_nan() else str(cell)
    if isinstance(cell, bool | np.bool_ | int | np.integer):
        return str(cell)
    if isinstance(cell, float | np.floating):
        return "" if np.isnan(cell) else repr(float(cell))
    if isinstance(cell, bytes):
        return base64.b64encode(cell).decode()
    if hasattr(cell, "isoformat"):
        return str(cell.isoformat())
    return _csv_field(dump_json(cell).decode())
