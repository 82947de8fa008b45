"""Parquet files: a split is a sequence of row groups, or a part of a large one.

Nested lists become numpy arrays in cells.

Values are exact, see ``arrow_cells``; rows whose integers or flags are missing travel in blocks of
their own, see ``kinds``. Page checksums are compared if the file has them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import repeat
from types import MappingProxyType
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet

from template.blocks import Block
from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.sources.arrow_rows import ArrowRows, join_rows
from template.sources.columns import check_columns
from template.sources.declared_rows import check_declared, find_wanted
from template.sources.int96 import find_int96_columns
from template.sources.splits import SplitId
from template.sources.streams import GZIP_MAGIC, ReadSettings, UnreadableError, open_stored
from template.sources.typed_cells import find_type_problem

ROWS_PER_SPLIT = 16_384
ROWS_PER_PART = 16 * ROWS_PER_SPLIT
"""The fewest rows in a part of a row group: a part is decoded with everything before it."""
MOST_PARTS = 8
_ONE_THREAD = MappingProxyType({"use_threads": False})
"""Handing 20 columns of 1,024 rows to threads costs as much as decoding them."""
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)


@dataclass(frozen=True, kw_only=True)
class ParquetSplit:
    """The ``rows`` rows from ``first_row`` on, in some row groups of a file.

    ``skipped`` is how many rows of the first group precede them. ``skipped`` is None for whole
    groups.
    """

    path: str
    generation: str
    row_groups: tuple[int, ...]
    first_row: int
    rows: int
    skipped: int | None = None

    @property
    def id(self) -> SplitId:
        """The part of the file that it covers."""
        if self.skipped is None:
            span = f"row groups {self.row_groups[0]}-{self.row_groups[-1]}"
        else:
            span = f"rows {self.first_row}-{self.first_row + self.rows - 1}"
        return SplitId(path=self.path, generation=self.generation, range=span)

    @property
    def source(self) -> str:
        """The split's content, for dead letters."""
        return _rows_of(self.path, self.first_row, self.first_row + self.rows)

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the rows in blocks, and a dead letter for those that cannot be read.

        Damage loses the rest of its row group.
        """
        for part in _join(self._read_batches(settings), settings.batch_size):
            yield from (part,) if isinstance(part, DeadLetter) else part.read(self.path, settings)

    def _read_batches(self, settings: ReadSettings) -> Iterator[ArrowRows | DeadLetter]:
        with ExitStack() as stack:
            try:
                opened = functools.partial(
                    open_stored, self.path, start=None, generation=self.generation
                )
                parquet = _open(stack.enter_context(opened()))
                counts = _count_rows(parquet)
                coarse = None
                wanted = find_wanted(parquet.schema_arrow.names, settings)
                int96 = find_int96_columns(parquet)
                if wanted is not None:
                    int96 = tuple(name for name in int96 if name in wanted)
                if int96:
                    stream = stack.enter_context(opened())
                    coarse = _open(stream, coerce_int96_timestamp_unit="ms")
            except _DAMAGE as error:
                _check_damage(error)
                yield self._lost_rows(self.first_row, self.first_row + self.rows, str(error))
                return
            stop = self.first_row + self.rows
            row = self.first_row - (self.skipped or 0)
            for group in self.row_groups:
                end = row + counts[group]
                how = {"batch_size": settings.batch_size, "row_groups": [group], **_ONE_THREAD}
                try:
                    batches = parquet.iter_batches(columns=wanted, **how)
                    also = coarse.iter_batches(columns=int96, **how) if coarse else repeat(None)
                    for batch, milliseconds in zip(batches, also, strict=False):
                        if row + len(batch) > end:
                            raise pa.ArrowInvalid(f"row group {group} has more rows than it states")
                        read = ArrowRows(first_row=row, batch=batch, milliseconds=milliseconds)
                        row += len(batch)
                        if row > self.first_row:
                            yield read.within(self.first_row, stop)
                        if stop <= row < end:
                            return
                    if row < end:
                        raise pa.ArrowInvalid(f"row group {group} has fewer rows than it states")
                except _DAMAGE as error:
                    _check_damage(error)
                    yield self._lost_rows(max(row, self.first_row), min(end, stop), str(error))
                row = end

    def _lost_rows(self, start: int, stop: int, problem: str) -> DeadLetter:
        return DeadLetter(
            key=None,
            error=f"UnreadableError: rows {start} to {stop - 1} cannot be read: {problem}",
            source=_rows_of(self.path, start, stop),
        )


def split_parquet(file: FileVersion, settings: ReadSettings) -> Iterator[ParquetSplit | DeadLetter]:
    """Yield the splits of a file, from its metadata."""
    with open_stored(file.path, start=None, generation=file.generation) as stream:
        try:
            parquet = _open(stream)
            names = parquet.schema_arrow.names
            counts = _count_rows(parquet)
        except _DAMAGE as error:
            _check_damage(error)
            stream.seek(0)
            if stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
                raise UnreadableError(
                    "a gzip file, in which Parquet cannot be read: unpack it; Parquet compresses "
                    "its own columns"
                ) from error
            raise UnreadableError(f"not a readable Parquet file: {error}") from error
        check_columns(names, settings)
        check_declared(names, settings)
        for column in settings.columns:
            if column.name in names:
                problem = find_type_problem(column, parquet.schema_arrow.field(column.name).type)
                if problem:
                    raise UnreadableError(problem)
        _check_key_type(parquet.schema_arrow, settings.key_column)
    if min(counts, default=0) < 0:
        raise UnreadableError("not a readable Parquet file: a row group of less than 0 rows")
    first_row = 0
    for groups in _gather(counts):
        rows = sum(counts[group] for group in groups)
        yield from _part(
            ParquetSplit(
                path=file.path,
                generation=file.generation,
                row_groups=groups,
                first_row=first_row,
                rows=rows,
            )
        )
        first_row += rows


def _gather(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield sequences of row groups: many small ones, or one large one to split."""
    run: list[int] = []
    rows = 0
    for group, count in enumerate(counts):
        if run and (rows >= ROWS_PER_SPLIT or count > ROWS_PER_PART):
            yield tuple(run)
            run, rows = [], 0
        run.append(group)
        rows += count
    if run:
        yield tuple(run)


def _part(split: ParquetSplit) -> Iterator[ParquetSplit]:
    """Yield the parts of a large row group, or the split as it is."""
    share = ROWS_PER_SPLIT * math.ceil(split.rows / MOST_PARTS / ROWS_PER_SPLIT)
    step = max(ROWS_PER_PART, share)
    if len(split.row_groups) > 1 or split.rows <= step:
        yield split
        return
    for start in range(0, split.rows, step):
        yield replace(
            split,
            first_row=split.first_row + start,
            rows=min(step, split.rows - start),
            skipped=start,
        )


def _open(stream: BinaryIO, **options: str) -> pyarrow.parquet.ParquetFile:
    return pyarrow.parquet.ParquetFile(stream, page_checksum_verification=True, **options)


def _count_rows(parquet: pyarrow.parquet.ParquetFile) -> list[int]:
    """Return the number of rows of each row group."""
    metadata = parquet.metadata
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def _rows_of(path: str, start: int, stop: int) -> str:
    return f"{path} rows {start}-{stop - 1}"


def _check_key_type(schema: pa.Schema, key_column: str | None) -> None:
    if key_column is not None and pa.types.is_nested(schema.field(key_column).type):
        raise UnreadableError(
            f"key column {key_column!r} is of type {schema.field(key_column).type}: "
            "name a column of texts or numbers"
        )


def _check_damage(error: Exception) -> None:
    """Raise errors again that do not mean damage to the file, such as a lost connection.

    Arrow itself raises plain OSErrors, for example for pages that do not decompress.
    """
    if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
        raise error


def _join(
    parts: Iterator[ArrowRows | DeadLetter], batch_size: int
) -> Iterator[ArrowRows | DeadLetter]:
    """Join rows of consecutive small row groups."""
    pending: list[ArrowRows] = []
    size = 0
    for part in parts:
        if isinstance(part, DeadLetter):
            follows = False
        else:
            follows = not pending or pending[-1].stop == part.first_row
            follows = follows and size + len(part) <= batch_size
        if pending and not follows:
            yield join_rows(pending)
            pending, size = [], 0
        if isinstance(part, DeadLetter):
            yield part
        else:
            pending.append(part)
            size += len(part)
    if pending:
        yield join_rows(pending)
