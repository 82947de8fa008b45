"""Parquet files: a split is a run of row groups; nested lists become numpy arrays in cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from template.blocks import KEY, make_blocks, mark_integers, row_keys
from template.dead_letters import DeadLetter
from template.sources.columns import check_columns
from template.sources.streams import ReadSettings, SourceFile, UnreadableError, open_stream

ROWS_PER_SPLIT = 16_384
_MAYBE_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)


@dataclass(frozen=True, kw_only=True)
class ParquetSplit:
    """Some row groups of a file, which hold ``rows`` rows from ``first_row`` on."""

    path: str
    row_groups: tuple[int, ...]
    first_row: int
    rows: int

    @property
    def source(self) -> str:
        """What the split holds, for dead letters."""
        return f"{self.path} rows {self.first_row}-{self.first_row + self.rows - 1}"

    def read(self, settings: ReadSettings) -> Iterator[pd.DataFrame | DeadLetter]:
        """Yield the rows in blocks, then a dead letter for the rest if it is not readable."""
        row = self.first_row
        try:
            with open_stream(self.path) as stream:
                batches = _open(stream).iter_batches(
                    batch_size=settings.batch_size, row_groups=list(self.row_groups)
                )
                for batch in batches:
                    yield from _make_blocks(batch, row, self.path, settings)
                    row += len(batch)
        except _MAYBE_DAMAGE as error:
            _check_damage(error)
            last = self.first_row + self.rows - 1
            yield DeadLetter(
                key=None,
                error=f"UnreadableError: rows {row} to {last} cannot be read: {error}",
                source=f"{self.path} rows {row}-{last}",
            )


def split_parquet(file: SourceFile, settings: ReadSettings) -> Iterator[ParquetSplit | DeadLetter]:
    """Yield the splits of a file, by its metadata alone."""
    with open_stream(file.path) as stream:
        try:
            parquet = _open(stream)
        except _MAYBE_DAMAGE as error:
            _check_damage(error)
            raise UnreadableError(f"not a readable Parquet file: {error}") from error
        check_columns(parquet.schema_arrow.names, settings)
        counts = [
            parquet.metadata.row_group(group).num_rows
            for group in range(parquet.metadata.num_row_groups)
        ]
    first_row = rows = 0
    groups: list[int] = []
    for group, count in enumerate(counts):
        groups.append(group)
        rows += count
        if rows >= ROWS_PER_SPLIT or group == len(counts) - 1:
            yield ParquetSplit(
                path=file.path, row_groups=tuple(groups), first_row=first_row, rows=rows
            )
            first_row += rows
            rows = 0
            groups = []


def _open(stream: BinaryIO) -> pyarrow.parquet.ParquetFile:
    return pyarrow.parquet.ParquetFile(stream)


def _check_damage(error: Exception) -> None:
    """Raise anew what is no damage of the file but, say, a lost connection.

    Arrow itself raises bare OSErrors, for pages that do not decompress and the like.
    """
    if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
        raise error


def _make_blocks(
    batch: pa.RecordBatch, first_row: int, path: str, settings: ReadSettings
) -> Iterator[pd.DataFrame | DeadLetter]:
    rows = np.arange(first_row, first_row + len(batch))
    frame = batch.to_pandas(ignore_metadata=True)
    integers = [
        field.name
        for field, column in zip(batch.schema, batch.columns, strict=True)
        if pa.types.is_integer(field.type) and column.null_count
    ]
    mark_integers(frame, integers)
    keys = np.array(row_keys(settings.file_name(path), rows.tolist()), dtype=object)
    if settings.key_column is not None:
        texts = np.array(_key_texts(batch.column(settings.key_column)), dtype=object)
        for position in np.flatnonzero(pd.isna(texts) | (texts == "")).tolist():
            yield DeadLetter(
                key=keys[position],
                error=f"ValueError: no value in the key column {settings.key_column!r}",
                source=f"{path} row {rows[position]}",
            )
        keep = ~(pd.isna(texts) | (texts == ""))
        frame, keys, rows = frame[keep], texts[keep], rows[keep]
    if settings.key_column == KEY:
        frame = frame.drop(columns=KEY)
    yield from make_blocks(
        frame,
        keys=keys.tolist(),
        rows=rows.tolist(),
        path=path,
        batch_size=settings.batch_size,
    )


def _key_texts(column: pa.Array) -> list[str | None]:
    """Return keys as text, by Arrow: a pandas column of integers with gaps would read 7.0."""
    texts: list[str | None] = pa.compute.cast(column, pa.string()).to_pylist()
    return texts
