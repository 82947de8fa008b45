"""CSV records, parsed by Arrow into columns of bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv

from template.sources.kinds import without_rows
from template.sources.records import is_blank_record, split_records

_SHOWN_TEXT = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class Parsed:
    """Parsed records: their row numbers in the chunk, and their fields as bytes."""

    rows: np.ndarray
    columns: list[pa.ChunkedArray]


@dataclass(frozen=True, kw_only=True)
class BadRecord:
    """A record that does not parse."""

    row: int
    problem: str


def parse_records(
    data: bytes,
    rows: int,
    columns: Sequence[str],
    delimiter: str,
    *,
    wanted: Sequence[str] | None = None,
    first: int = 0,
) -> Iterator[Parsed | BadRecord]:
    """Parse ``rows`` records, whose numbers count from ``first``.

    If Arrow sees other records than ``split_records`` (at a stray carriage return), they are halved
    until the odd one stands alone.

    Args:
        data: the records.
        rows: their number.
        columns: the names of their fields.
        delimiter: what separates the fields.
        wanted: the columns to return; None for all.
        first: the number of the first row.
    """
    bad: dict[int, str] = {}

    def note_bad_row(row: pyarrow.csv.InvalidRow) -> str:
        text = row.text if len(row.text) <= _SHOWN_TEXT else f"{row.text[:_SHOWN_TEXT]}..."
        bad[row.number - 1] = (
            f"{row.actual_columns} fields instead of {row.expected_columns}: {text!r}"
        )
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, column_names=list(columns), block_size=len(data) + 1
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                # It is called with text, because Arrow would print a traceback for any other row.
                invalid_row_handler=note_bad_row if _is_utf8(data) else None,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.binary()),
                include_columns=None if wanted is None else list(wanted),
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=False,
            ),
        )
        parsed = len(table) + len(bad)
        problem = f"Arrow reads {parsed} records in it"
    except pa.ArrowInvalid as error:
        parsed, problem = -1, str(error)
    if parsed == rows:
        yield from (
            BadRecord(row=first + row, problem=problem) for row, problem in sorted(bad.items())
        )
        good = without_rows(rows, bad) + first
        if len(good):
            yield Parsed(rows=good, columns=table.columns)
    elif rows == 1:
        yield BadRecord(row=first, problem=f"not a CSV record: {problem}")
    else:
        records = [
            record
            for record in split_records(data, delimiter=delimiter.encode())
            if not is_blank_record(record)
        ]
        half = rows // 2
        for start, stop in ((0, half), (half, rows)):
            yield from parse_records(
                b"".join(records[start:stop]),
                stop - start,
                columns,
                delimiter,
                wanted=wanted,
                first=first + start,
            )


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
