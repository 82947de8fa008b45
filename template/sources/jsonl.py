"""JSON Lines files: one object per line, whose fields are the columns.

A plain file is split at line ends; a gzip file is one split, because it can only be read from its
start. Types are JSON's own. Rows that have the same fields share a block, unless their values are
of different kinds, see ``template.sources.kinds``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from template.blocks import KEY, SOURCE, Block, object_cells, row_keys
from template.dead_letters import DeadLetter, describe
from template.file_versions import FileVersion
from template.sources.chunks import (
    Chunk,
    ChunkSplit,
    LostRow,
    UnreadableRestError,
    read_chunks,
    read_head,
)
from template.sources.columns import check_folder_columns
from template.sources.declared_rows import DeclaredRows, check_fields, required_fields
from template.sources.json_objects import (
    find_key,
    find_passthrough,
    make_frames,
    may_hold_long_numbers,
    object_columns,
    parse_object,
    parse_short_numbers,
)
from template.sources.records import Lines
from template.sources.splits import WholeFile
from template.sources.streams import ReadSettings, is_gzip, open_stream

_MOST_SHAPES = 64
"""The number of blocks of rows with different fields that are open at a time."""


@dataclass(frozen=True, kw_only=True)
class JsonlSplit(ChunkSplit):
    """Whole lines of a plain file."""

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the rows in blocks, and a dead letter for each that does not parse."""
        yield from _read_chunk(self.read_chunk(), self.path, settings)


@dataclass(frozen=True, kw_only=True)
class JsonlGzipFile(WholeFile):
    """A gzip file, which can only be read from its start."""

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the rows in blocks, and a dead letter for each that does not parse."""
        with open_stream(self.path, generation=self.file.generation) as stream:
            yield from read_jsonl(stream, self.path, settings)


def split_jsonl(
    file: FileVersion, settings: ReadSettings
) -> Iterator[JsonlSplit | JsonlGzipFile | DeadLetter]:
    """Yield the splits of a file; a plain file is read once to count its lines."""
    with open_stream(file.path, generation=file.generation) as stream:
        if is_gzip(stream):
            yield JsonlGzipFile(file=file)
            return
        for part in _scan(stream, file.path, settings):
            if isinstance(part, DeadLetter):
                yield part
            else:
                yield JsonlSplit.of(file, part)


def read_jsonl(stream: BinaryIO, path: str, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
    """Yield the rows of a file from its start, as its splits do."""
    for part in _scan(stream, path, settings):
        if isinstance(part, DeadLetter):
            yield part
        else:
            yield from _read_chunk(part, path, settings)


def _scan(stream: BinaryIO, path: str, settings: ReadSettings) -> Iterator[Chunk | DeadLetter]:
    _, start = read_head(stream)
    try:
        for part in read_chunks(stream, Lines(), offset=start, chunk_rows=settings.max_rows):
            if isinstance(part, LostRow):
                key = row_keys(settings.file_name(path), [part.row])[0]
                yield part.to_dead_letter(path, key)
            else:
                yield part
    except UnreadableRestError as error:
        yield error.to_dead_letter(path)


class _OpenBlock:
    """Rows that have the same fields."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.lines: list[bytes] = []
        self.records: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.passed: list[list[Any]] = []

    def close(self, path: str, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the rows in blocks of one kind, and dead letters for the others."""
        if settings.columns:
            typed = DeclaredRows.of_records(self.records, settings)
            for row, problem in sorted(typed.problems.items()):
                yield _dead_row(path, self.rows[row], self.keys[row], f"ValueError: {problem}")
            if len(typed.kept):
                yield self._make_block(typed.make_frame(), typed.kept, path, settings)
            return
        for frame, group in make_frames(self.records):
            yield self._make_block(frame, group.rows, path, settings, group.integers)

    def _make_block(
        self,
        frame: pd.DataFrame,
        rows: np.ndarray,
        path: str,
        settings: ReadSettings,
        integers: tuple[str, ...] = (),
    ) -> Block:
        columns = {KEY: object_cells(self.keys)}
        for position, name in enumerate(settings.passthrough_columns):
            columns[name] = object_cells([passed[position] for passed in self.passed])
        lines = self.lines
        if len(rows) < len(lines):
            lines = [lines[row] for row in rows.tolist()]
        return Block(
            frame=frame,
            beside={name: cells[rows] for name, cells in columns.items()},
            index=pd.Index(np.array(self.rows)[rows]),
            attrs={SOURCE: path},
            integers=integers,
            origin=_JsonLines(tuple(lines), settings),
            is_typed=bool(settings.columns),
        )


def _read_chunk(chunk: Chunk, path: str, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
    """Yield the rows of a chunk; a few blocks of rows with different fields are open at a time."""
    file_name = settings.file_name(path)
    parse = parse_object if may_hold_long_numbers(chunk.data) else parse_short_numbers
    lines = (line for line in io.BytesIO(chunk.data) if not line.isspace())
    alike: dict[frozenset[str], _OpenBlock] = {}
    required = required_fields(settings)
    for row, line in enumerate(lines, chunk.first_row):
        key = f"{file_name}#{row}"
        try:
            record = parse(line)
            if settings.key_column is not None:
                key = find_key(record, settings.key_column)
            if settings.folder_columns:
                check_folder_columns(record, settings)
            passed = find_passthrough(record, line, settings.passthrough_columns)
            check_fields(record, required, settings)
            if settings.key_column is not None and not settings.columns:
                del record[settings.key_column]
        except ValueError as error:
            yield _dead_row(path, row, key, describe(error))
            continue
        names = frozenset(() if settings.columns else record)
        block = alike.get(names)
        if block is None:
            if len(alike) == _MOST_SHAPES:
                yield from alike.pop(next(iter(alike))).close(path, settings)
            block = alike[names] = _OpenBlock()
        block.rows.append(row)
        block.lines.append(line)
        block.records.append(record)
        block.keys.append(key)
        if passed:
            block.passed.append(passed)
        if len(block.rows) == settings.batch_size:
            yield from alike.pop(names).close(path, settings)
    for block in alike.values():
        yield from block.close(path, settings)


@dataclass(frozen=True)
class _JsonLines:
    """The lines of a block: keeping them is free, but copying lists costs as much as parsing."""

    lines: tuple[bytes, ...]
    settings: ReadSettings

    def __call__(self) -> Mapping[str, Any]:
        records = list(map(parse_object, self.lines))
        if self.settings.columns:
            return DeclaredRows.of_records(records, self.settings).columns
        return object_columns(records)


def _dead_row(path: str, row: int, key: str, error: str) -> DeadLetter:
    return DeadLetter(key=key, error=error, source=f"{path} row {row}")
