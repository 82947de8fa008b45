"""Arrow rows as blocks: keys, passed-through columns, and which rows share a block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pandas.arrays import ArrowExtensionArray

from template.blocks import KEY, Block, Cells, make_blocks, row_keys
from template.dead_letters import DeadLetter, describe
from template.sources.arrow_cells import decode_dictionary, make_frame
from template.sources.declared_rows import DeclaredRows
from template.sources.int96 import separate_int96
from template.sources.kinds import LARGEST_EXACT, MAX_GROUPS, Group, Kind, group_rows
from template.sources.streams import ReadSettings
from template.sources.typed_cells import type_array

_SHOWN_BYTES = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrowRows:
    """Consecutive rows of a file, with a second reading of their INT96 columns, if any."""

    first_row: int
    batch: pa.RecordBatch
    milliseconds: pa.RecordBatch | None

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def stop(self) -> int:
        """The number of the row after the last."""
        return self.first_row + len(self)

    def read(self, path: str, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield blocks; a row that does not convert is a dead letter, found by halving."""
        if not len(self):
            return
        try:
            # Convert everything before yielding anything.
            parts = [*self._make_blocks(path, settings)]
        except MemoryError:
            raise
        except Exception as error:  # Arrow, pandas and Python each raise their own
            if len(self) == 1:
                yield self._unreadable_row(path, settings, error)
                return
            half = len(self) // 2
            yield from self._slice(0, half).read(path, settings)
            yield from self._slice(half, len(self) - half).read(path, settings)
            return
        yield from parts

    def within(self, start: int, stop: int) -> ArrowRows:
        """Return the rows whose numbers are from ``start`` to ``stop``."""
        if start <= self.first_row and self.stop <= stop:
            return self
        first = min(max(start - self.first_row, 0), len(self))
        return self._slice(first, max(0, min(stop - self.first_row, len(self)) - first))

    def _slice(self, start: int, length: int) -> ArrowRows:
        milliseconds = self.milliseconds
        return ArrowRows(
            first_row=self.first_row + start,
            batch=self.batch.slice(start, length),
            milliseconds=None if milliseconds is None else milliseconds.slice(start, length),
        )

    def _make_blocks(self, path: str, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        numbers = np.arange(self.first_row, self.stop)
        problems: dict[int, str] = {}
        if settings.key_column is None:
            keys = row_keys(settings.file_name(path), numbers.tolist())
        else:
            column = decode_dictionary(self.batch.column(settings.key_column))
            keys, problems = read_keys(column, settings.key_column)
        parts = [(np.arange(len(self)), self.batch)]
        if self.milliseconds is not None:
            parts, inexact = separate_int96(self.batch, self.milliseconds)
            problems = {**inexact, **problems}
        for row, problem in sorted(problems.items()):
            source = f"{path} row {numbers[row]}"
            key = keys[row] or row_keys(settings.file_name(path), [numbers[row]])[0]
            yield DeadLetter(key=key, error=f"ValueError: {problem}", source=source)
        for rows, batch in parts:
            kept = np.flatnonzero(~np.isin(rows, list(problems))) if problems else None
            if kept is not None and len(kept) < len(rows):
                rows, batch = rows[kept], batch.take(pa.array(kept))
            if settings.columns:
                yield from self._make_declared_blocks(batch, rows, keys, path, settings)
                continue
            if settings.key_column is not None:
                batch = batch.drop_columns(settings.key_column)
            for group in _find_groups(batch):
                within = rows[group.rows]
                part = batch if len(within) == len(batch) else batch.take(pa.array(group.rows))
                yield from make_blocks(
                    make_frame(part),
                    beside=self._take_beside(within, keys, settings),
                    rows=numbers[within],
                    path=path,
                    batch_size=settings.batch_size,
                    integers=group.integers,
                )

    def _make_declared_blocks(
        self,
        batch: pa.RecordBatch,
        rows: np.ndarray,
        keys: np.ndarray,
        path: str,
        settings: ReadSettings,
    ) -> Iterator[Block | DeadLetter]:
        arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
        found = {
            column.name: type_array(
                column, arrays[column.name], settings.images, settings.max_image_pixels
            )
            for column in settings.columns
            if column.name in arrays
        }
        typed = DeclaredRows.of_cells(found, len(batch), settings.columns)
        for row, problem in sorted(typed.problems.items()):
            source = f"{path} row {self.first_row + rows[row]}"
            yield DeadLetter(key=keys[rows[row]], error=f"ValueError: {problem}", source=source)
        within = rows[typed.kept]
        yield from make_blocks(
            typed.make_frame(),
            beside=self._take_beside(within, keys, settings),
            rows=np.arange(self.first_row, self.stop)[within],
            path=path,
            batch_size=settings.batch_size,
            is_typed=True,
        )

    def _take_beside(
        self, rows: np.ndarray, keys: np.ndarray, settings: ReadSettings
    ) -> dict[str, Cells]:
        beside: dict[str, Cells] = {KEY: keys[rows]}
        for name in settings.passthrough_columns:
            column = self.batch.column(name).take(pa.array(rows))
            beside[name] = ArrowExtensionArray(pa.chunked_array([column]))
        return beside

    def _unreadable_row(self, path: str, settings: ReadSettings, error: Exception) -> DeadLetter:
        """Return the dead letter of a single row, with the column that does not convert."""
        key = row_keys(settings.file_name(path), [self.first_row])[0]
        problem = describe(error)
        for name, column in zip(self.batch.schema.names, self.batch.columns, strict=True):
            try:
                decoded = decode_dictionary(column)
                if name == settings.key_column:
                    key = read_keys(decoded, name)[0][0] or key
                else:
                    make_frame(self.batch.select([name]))
            except Exception as reason:
                is_dictionary = pa.types.is_dictionary(column.type)
                value = None if is_dictionary else _undecoded(column[0])
                shown = f"{value[:_SHOWN_BYTES]!r} is not UTF-8" if value else str(reason)
                problem = f"column {name!r}: {shown}"
                break
        return DeadLetter(
            key=key, error=f"ValueError: {problem}", source=f"{path} row {self.first_row}"
        )


def join_rows(parts: Sequence[ArrowRows]) -> ArrowRows:
    """Join rows that follow each other."""
    first, *others = parts
    if not others:
        return first
    return ArrowRows(
        first_row=first.first_row,
        batch=pa.concat_batches([part.batch for part in parts]),
        milliseconds=first.milliseconds
        and pa.concat_batches([part.milliseconds for part in parts]),
    )


def read_keys(column: pa.Array, name: str) -> tuple[np.ndarray, dict[int, str]]:
    """Return keys as text, and the problems of the others by position.

    Uses Arrow, because a pandas column of integers with gaps would give 7.0.
    """
    problems: dict[int, str] = {}
    try:
        texts: list[str | None] = pa.compute.cast(column, pa.string()).to_pylist()
    except Exception:  # a text that is not UTF-8, or a type that Arrow cannot convert to text
        texts = []
        for position, cell in enumerate(column):
            value = _undecoded(cell)
            if value is not None:
                problems[position] = f"key column {name!r}: {value[:_SHOWN_BYTES]!r} is not UTF-8"
                texts.append(None)
            else:
                texts.append(_text(cell))
    if not all(texts):
        for position, text in enumerate(texts):
            if not text:
                problems.setdefault(position, f"no value in the key column {name!r}")
    return np.array(texts, dtype=object), problems


def _text(cell: pa.Scalar) -> str | None:
    try:
        text: str | None = pa.compute.cast(cell, pa.string()).as_py()
    except pa.ArrowException:
        text = str(cell)
    return text


def _undecoded(cell: pa.Scalar) -> bytes | None:
    """Return the bytes of a text that is not UTF-8; None for every other value."""
    if not (isinstance(cell, pa.StringScalar | pa.BinaryScalar) and cell.is_valid):
        return None
    value: bytes = cell.as_buffer().to_pybytes()
    try:
        value.decode()
    except UnicodeDecodeError:
        return value
    return None


def _find_groups(batch: pa.RecordBatch) -> list[Group]:
    """Return which rows share a block: a missing integer or boolean changes no other row's type."""
    integers: dict[str, np.ndarray] = {}
    flags: dict[str, np.ndarray] = {}
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if not column.null_count:
            continue
        if pa.types.is_integer(field.type):
            integers[field.name] = _integer_kinds(column)
        elif pa.types.is_boolean(field.type):
            flags[field.name] = np.where(_is_valid(column), Kind.FLAG, Kind.OBJECT)
    if not integers and not flags:
        return [Group(rows=np.arange(len(batch)), kinds={})]
    groups = group_rows({**integers, **flags})
    if flags and len(groups) > MAX_GROUPS:  # booleans are then objects, as in pandas
        return _find_groups(batch.drop_columns(list(flags)))
    return groups


def _integer_kinds(column: pa.Array) -> np.ndarray:
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    exact = (values <= LARGEST_EXACT) & (values >= -LARGEST_EXACT)
    kinds = np.where(exact, Kind.INTEGER, Kind.BIG)
    return np.where(_is_valid(column), kinds, Kind.GAP).astype(np.uint8)


def _is_valid(column: pa.Array) -> Any:
    return column.is_valid().to_numpy(zero_copy_only=False)
