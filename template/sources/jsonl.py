"""JSON Lines files: an object a line, its fields are the columns.

A plain file is split at line ends; a gzip file is one split, because it can only be read from its
start. Types are JSON's own; a field that a row of a block lacks is NaN.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import NoneType
from typing import Any, BinaryIO

import orjson
import pandas as pd

from template.blocks import KEY, SOURCE, Block, object_cells, row_keys
from template.dead_letters import DeadLetter, describe
from template.file_versions import FileVersion
from template.sources.chunks import (
    BLANK_LINES,
    Chunk,
    ChunkSplit,
    UnreadableRestError,
    read_chunks,
    read_records,
)
from template.sources.columns import check_folder_columns, check_passthrough
from template.sources.splits import WHOLE, SplitId
from template.sources.streams import ReadSettings, is_gzip, open_stream

BOM = b"\xef\xbb\xbf"
_LONG_NUMBER = re.compile(rb"\d{19}")


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
            for part in _scan(stream, self.path):
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
        for part in _scan(stream, file.path):
            if isinstance(part, DeadLetter):
                yield part
            else:
                yield JsonlSplit.of(file, part)


def _scan(stream: BinaryIO, path: str) -> Iterator[Chunk | DeadLetter]:
    try:
        yield from read_chunks(read_records(stream, quotes=False))
    except UnreadableRestError as error:
        yield error.to_dead_letter(path)


def _read_chunk(chunk: Chunk, path: str, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
    file_name = settings.file_name(path)
    lines = [line for line in io.BytesIO(chunk.data) if line not in BLANK_LINES]
    for start in range(0, len(lines), settings.batch_size):
        records: list[dict[str, Any]] = []
        parsed: list[bytes] = []
        beside: list[list[Any]] = []
        rows: list[int] = []
        for row, line in enumerate(
            lines[start : start + settings.batch_size], chunk.first_row + start
        ):
            key = row_keys(file_name, [row])[0]
            try:
                record = parse_object(line)
                check_folder_columns(record, settings)
                passed = find_passthrough(record, line, settings.passthrough_columns)
                if settings.key_column is not None:
                    key = take_key(record, line, settings.key_column)
            except ValueError as error:
                yield DeadLetter(key=key, error=describe(error), source=f"{path} row {row}")
                continue
            records.append(record)
            parsed.append(line)
            beside.append([key, *passed])
            rows.append(row)
        if not records:
            continue
        frame = _make_frame(records)
        yield Block(
            frame=frame,
            beside={
                name: object_cells(values)
                for name, values in zip(
                    (KEY, *settings.passthrough_columns), zip(*beside, strict=True), strict=True
                )
            },
            index=pd.Index(rows),
            attrs={SOURCE: path},
            integers=tuple(find_integers(frame, records)),
            origin=_JsonLines(tuple(parsed), settings.key_column),
        )


@dataclass(frozen=True)
class _JsonLines:
    """The lines of a block: to keep them costs nothing, to copy lists costs as much as to parse."""

    lines: tuple[bytes, ...]
    key_column: str | None

    def __call__(self) -> pd.DataFrame:
        records = list(map(parse_object, self.lines))
        if self.key_column is not None:
            for record in records:
                del record[self.key_column]
        return _make_frame(records)


def _make_frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame.from_records(records, index=pd.RangeIndex(len(records)))


def parse_object(line: bytes) -> dict[str, Any]:
    """Return the JSON object in ``line``.

    Raises:
        ValueError: it holds none.
    """
    try:
        record = orjson.loads(line.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"a JSON {type(record).__name__}, not an object")  # noqa: TRY004
    return record


def find_integers(frame: pd.DataFrame, records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns that hold integers alone, and floats only for want of some of them."""
    return [
        str(name)
        for name, column in frame.items()
        if column.dtype == float
        and column.hasnans
        and all(type(record.get(str(name))) in (int, NoneType) for record in records)
    ]


def find_passthrough(record: Mapping[str, Any], line: bytes, columns: Sequence[str]) -> list[Any]:
    """Return JSON's own values of some fields, which share no memory with ``record``.

    Raises:
        UnreadableError: it lacks one.
    """
    if not columns:
        return []
    check_passthrough(record, columns)
    again = record
    if _LONG_NUMBER.search(line):
        again = _parse_exactly(line)
    elif any(isinstance(record[column], list | dict) for column in columns):
        again = parse_object(line)
    return [again[column] for column in columns]


def _parse_exactly(line: bytes) -> dict[str, Any]:
    """Parse an object with all digits of its integers; orjson makes floats of long ones."""
    record: dict[str, Any] = json.loads(line.removeprefix(BOM), parse_int=_exact_integer)
    return record


def _exact_integer(digits: str) -> int | Decimal:
    number = Decimal(digits)
    return int(digits) if -(2**63) <= number < 2**64 else number  # what orjson writes as it is


def take_key(record: dict[str, Any], line: bytes, key_column: str) -> str:
    """Take the key out of the object in ``line``, and return it.

    Raises:
        ValueError: the object has none.
    """
    value = record.pop(key_column, None)
    if isinstance(value, float) and abs(value) >= 2**63:
        value = str(_parse_exactly(line)[key_column])
    if value is None or value == "":
        raise ValueError(f"no value in the key column {key_column!r}")
    return value if isinstance(value, str) else orjson.dumps(value).decode()
