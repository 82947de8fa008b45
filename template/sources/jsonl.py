"""JSON Lines files: an object a line, its fields are the columns.

A plain file is split at line ends; a gzip file is one split, because it can only be read from its
start. Types are JSON's own. Rows that have the same fields share a block, unless their values are
of different kinds, see ``template.sources.kinds``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

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
    read_lines,
)
from template.sources.columns import check_folder_columns
from template.sources.json_objects import (
    find_passthrough,
    make_frames,
    may_hold_long_numbers,
    object_columns,
    parse_object,
    parse_short_numbers,
    take_key,
)
from template.sources.splits import WHOLE, SplitId
from template.sources.streams import ReadSettings, is_gzip, open_stream

_MOST_SHAPES = 64
"""So many blocks of rows with different fields are open at a time."""


@dataclass(frozen=True, kw_only=True)
class JsonlSplit(ChunkSplit):
    """Whole lines of a plain file."""

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the rows in blocks, and a dead letter for each that does not parse."""
        yield from _read_chunk(self.read_chunk(), self.path, settings)


@dataclass(frozen=True, kw_only=True)
class JsonlGzipFile:
    """A gzip file, which can only be read from its start."""

    path: str
    generation: str

    @property
    def id(self) -> SplitId:
        """Which file it is."""
        return SplitId(path=self.path, generation=self.generation, range=WHOLE)

    @property
    def source(self) -> str:
        """What the split holds, for dead letters."""
        return self.path

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the rows in blocks, and a dead letter for each that does not parse."""
        with open_stream(self.path) as stream:
            for part in _scan(stream, self.path, settings):
                if isinstance(part, DeadLetter):
                    yield part
                else:
                    yield from _read_chunk(part, self.path, settings)


def split_jsonl(
    file: FileVersion, settings: ReadSettings
) -> Iterator[JsonlSplit | JsonlGzipFile | DeadLetter]:
    """Yield the splits of a file; a plain file is read once to count its lines."""
    with open_stream(file.path) as stream:
        if is_gzip(stream):
            yield JsonlGzipFile(path=file.path, generation=file.generation)
            return
        for part in _scan(stream, file.path, settings):
            if isinstance(part, DeadLetter):
                yield part
            else:
                yield JsonlSplit.of(file, part)


def _scan(stream: BinaryIO, path: str, settings: ReadSettings) -> Iterator[Chunk | DeadLetter]:
    _, start = read_head(stream)
    try:
        for part in read_chunks(read_lines(stream), is_blank=bytes.isspace, offset=start):
            if isinstance(part, LostRow):
                key = row_keys(settings.file_name(path), [part.row])[0]
                yield part.to_dead_letter(path, key)
            else:
                yield part
    except UnreadableRestError as error:
        yield error.to_dead_letter(path)


class _Row(NamedTuple):
    row: int
    line: bytes
    record: dict[str, Any]
    beside: list[Any]


def _read_chunk(chunk: Chunk, path: str, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
    """Yield blocks of rows that have the same fields, of which some are open at a time."""
    file_name = settings.file_name(path)
    parse = parse_object if may_hold_long_numbers(chunk.data) else parse_short_numbers
    lines = (line for line in io.BytesIO(chunk.data) if not line.isspace())
    alike: dict[frozenset[str], list[_Row]] = {}
    for row, line in enumerate(lines, chunk.first_row):
        key = row_keys(file_name, [row])[0]
        try:
            record = parse(line)
            check_folder_columns(record, settings)
            passed = find_passthrough(record, line, settings.passthrough_columns)
            if settings.key_column is not None:
                key = take_key(record, settings.key_column)
        except ValueError as error:
            yield DeadLetter(key=key, error=describe(error), source=f"{path} row {row}")
            continue
        names = frozenset(record)
        rows = alike.setdefault(names, [])
        rows.append(_Row(row, line, record, [key, *passed]))
        if len(rows) == settings.batch_size:
            yield from _make_blocks(alike.pop(names), path, settings)
        elif len(alike) > _MOST_SHAPES:
            yield from _make_blocks(alike.pop(next(iter(alike))), path, settings)
    for rows in alike.values():
        yield from _make_blocks(rows, path, settings)


def _make_blocks(found: Sequence[_Row], path: str, settings: ReadSettings) -> Iterator[Block]:
    for frame, group in make_frames([row.record for row in found]):
        rows = [found[row] for row in group.rows.tolist()]
        columns = zip(*(row.beside for row in rows), strict=True)
        yield Block(
            frame=frame,
            beside={
                name: object_cells(cells)
                for name, cells in zip((KEY, *settings.passthrough_columns), columns, strict=True)
            },
            index=pd.Index([row.row for row in rows]),
            attrs={SOURCE: path},
            integers=group.integers,
            origin=_JsonLines(tuple(row.line for row in rows)),
        )


@dataclass(frozen=True)
class _JsonLines:
    """The lines of a block: to keep them costs nothing, to copy lists costs as much as to parse."""

    lines: tuple[bytes, ...]

    def __call__(self) -> Mapping[str, np.ndarray]:
        return object_columns(list(map(parse_object, self.lines)))
