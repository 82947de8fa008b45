"""Parquet files: a split is a run of row groups; nested lists become numpy arrays in cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from pandas.arrays import ArrowExtensionArray

from template.blocks import KEY, Block, Cells, make_blocks, object_cells, row_keys
from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.sources.columns import check_columns
from template.sources.splits import SplitId
from template.sources.streams import ReadSettings, UnreadableError, open_stream

ROWS_PER_SPLIT = 16_384
_SHOWN_BYTES = 200
_MAYBE_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)


@dataclass(frozen=True, kw_only=True)
class ParquetSplit:
    """Some row groups of a file, which hold ``rows`` rows from ``first_row`` on."""

    path: str
    generation: str
    row_groups: tuple[int, ...]
    first_row: int
    rows: int

    @property
    def id(self) -> SplitId:
        """Which part of which file it is."""
        span = f"row groups {self.row_groups[0]}-{self.row_groups[-1]}"
        return SplitId(path=self.path, generation=self.generation, range=span)

    @property
    def source(self) -> str:
        """What the split holds, for dead letters."""
        return f"{self.path} rows {self.first_row}-{self.first_row + self.rows - 1}"

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the rows in blocks, and a dead letter for those that cannot be read.

        Damage costs the rest of its row group.
        """
        yield from self._read_from(self.first_row, settings)

    def _read_from(self, start: int, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        row = self.first_row
        try:
            with open_stream(self.path) as stream:
                batches = _open(stream).iter_batches(
                    batch_size=settings.batch_size, row_groups=list(self.row_groups)
                )
                for batch in batches:
                    already = max(0, min(start - row, len(batch)))
                    yield from _make_blocks(
                        batch.slice(already), row + already, self.path, settings
                    )
                    row += len(batch)
        except _MAYBE_DAMAGE as error:
            _check_damage(error)
            start = max(start, row)
            if len(self.row_groups) > 1:
                for part in self._by_row_group():
                    if start < part.first_row + part.rows:
                        yield from part._read_from(start, settings)
                return
            last = self.first_row + self.rows - 1
            yield DeadLetter(
                key=None,
                error=f"UnreadableError: rows {start} to {last} cannot be read: {error}",
                source=f"{self.path} rows {start}-{last}",
            )

    def _by_row_group(self) -> list[ParquetSplit]:
        """Return a split for each row group."""
        with open_stream(self.path) as stream:
            counts = _count_rows(_open(stream))
        parts = []
        first_row = self.first_row
        for group in self.row_groups:
            parts.append(
                ParquetSplit(
                    path=self.path,
                    generation=self.generation,
                    row_groups=(group,),
                    first_row=first_row,
                    rows=counts[group],
                )
            )
            first_row += counts[group]
        return parts


def split_parquet(file: FileVersion, settings: ReadSettings) -> Iterator[ParquetSplit | DeadLetter]:
    """Yield the splits of a file, by its metadata alone."""
    with open_stream(file.path) as stream:
        try:
            parquet = _open(stream)
        except _MAYBE_DAMAGE as error:
            _check_damage(error)
            raise UnreadableError(f"not a readable Parquet file: {error}") from error
        check_columns(parquet.schema_arrow.names, settings)
        _check_key_type(parquet.schema_arrow, settings.key_column)
        counts = _count_rows(parquet)
    first_row = rows = 0
    groups: list[int] = []
    for group, count in enumerate(counts):
        groups.append(group)
        rows += count
        if rows >= ROWS_PER_SPLIT or group == len(counts) - 1:
            yield ParquetSplit(
                path=file.path,
                generation=file.generation,
                row_groups=tuple(groups),
                first_row=first_row,
                rows=rows,
            )
            first_row += rows
            rows = 0
            groups = []


def _open(stream: BinaryIO) -> pyarrow.parquet.ParquetFile:
    return pyarrow.parquet.ParquetFile(stream)


def _count_rows(parquet: pyarrow.parquet.ParquetFile) -> list[int]:
    """Return the number of rows of each row group."""
    metadata = parquet.metadata
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def _check_key_type(schema: pa.Schema, key_column: str | None) -> None:
    if key_column is not None and pa.types.is_nested(schema.field(key_column).type):
        raise UnreadableError(
            f"key column {key_column!r} is of type {schema.field(key_column).type}: "
            "name a column of texts or numbers"
        )


def _check_damage(error: Exception) -> None:
    """Raise anew what is no damage of the file but, say, a lost connection.

    Arrow itself raises bare OSErrors, for pages that do not decompress and the like.
    """
    if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
        raise error


def _make_blocks(
    batch: pa.RecordBatch, first_row: int, path: str, settings: ReadSettings
) -> Iterator[Block | DeadLetter]:
    if not len(batch):
        return
    try:
        frame = batch.to_pandas(ignore_metadata=True)
    except _MAYBE_DAMAGE as error:
        if len(batch) == 1:
            yield _unreadable_row(batch, first_row, path, settings, error)
            return
        half = len(batch) // 2
        yield from _make_blocks(batch.slice(0, half), first_row, path, settings)
        yield from _make_blocks(batch.slice(half), first_row + half, path, settings)
        return
    rows = np.arange(first_row, first_row + len(batch))
    integers = [
        field.name
        for field, column in zip(batch.schema, batch.columns, strict=True)
        if pa.types.is_integer(field.type) and column.null_count
    ]
    beside: dict[str, Cells] = {KEY: row_keys(settings.file_name(path), rows.tolist())}
    for name in settings.passthrough_columns:
        beside[name] = ArrowExtensionArray(pa.chunked_array([batch.column(name)]))
    if settings.key_column is not None:
        keys, problems = _read_keys(batch.column(settings.key_column), settings.key_column)
        for position, problem in problems.items():
            yield DeadLetter(
                key=beside[KEY][position],
                error=f"ValueError: {problem}",
                source=f"{path} row {rows[position]}",
            )
        del frame[settings.key_column]
        beside[KEY] = keys
        keep = np.setdiff1d(np.arange(len(batch)), list(problems))
        frame, rows = frame.iloc[keep], rows[keep]
        beside = {name: cells[keep] for name, cells in beside.items()}
    yield from make_blocks(
        frame,
        beside=beside,
        rows=rows,
        path=path,
        batch_size=settings.batch_size,
        integers=integers,
    )


def _unreadable_row(
    batch: pa.RecordBatch, row: int, path: str, settings: ReadSettings, error: Exception
) -> DeadLetter:
    """Return the dead letter of a batch of one row, with the column that does not convert."""
    problem = str(error)
    key = row_keys(settings.file_name(path), [row])[0]
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            column.to_pandas()
        except _MAYBE_DAMAGE as reason:
            problem = f"column {name!r}: {reason}"
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                value = column.cast(pa.large_binary())[0].as_py()
                problem = f"column {name!r}: {value[:_SHOWN_BYTES]!r} is not UTF-8"
        else:
            if name == settings.key_column:
                key = _read_keys(column, name)[0][0] or key
    return DeadLetter(key=key, error=f"ValueError: {problem}", source=f"{path} row {row}")


def _read_keys(column: pa.Array, name: str) -> tuple[np.ndarray, dict[int, str]]:
    """Return keys as text, and what is wrong with the others by position.

    By Arrow: a pandas column of integers with gaps would read 7.0.
    """
    problems: dict[int, str] = {}
    try:
        texts: list[str | None] = pa.compute.cast(column, pa.string()).to_pylist()
    except pa.ArrowInvalid:  # bytes that are no text
        texts = []
        for position, value in enumerate(column.to_pylist()):
            text = None if value is None else value.decode(errors="replace")
            if text is not None and text.encode() != value:
                problems[position] = f"key column {name!r}: {value[:_SHOWN_BYTES]!r} is not UTF-8"
            texts.append(text)
    for position, text in enumerate(texts):
        if not text:
            problems[position] = f"no value in the key column {name!r}"
    return object_cells(texts), problems
