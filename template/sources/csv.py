"""CSV files with a header line, UTF-8.

The type of a column depends on the file, not on the block: it is float64 if most of the first 1000
values that the file holds for it are numbers, else text; ``column_types`` and the columns that the
model declares decide otherwise. A row
with cells that do not fit, texts or integers that float64 does not hold, travels in a block of its
kind, see ``template.sources.kinds``. A row with a wrong number of fields is a dead letter.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa

from template.blocks import KEY, Block, Cells, make_blocks, row_keys
from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.parameters import did_you_mean
from template.sources.chunks import (
    HEAD_BYTES,
    Chunk,
    ChunkSplit,
    LostRow,
    UnreadableRestError,
    read_chunks,
    read_head,
)
from template.sources.columns import check_columns
from template.sources.csv_cells import (
    NUMBER,
    Numbers,
    TypeSample,
    read_numbers,
    read_texts,
)
from template.sources.csv_header import find_delimiter, find_separator_line, parse_header
from template.sources.csv_records import BadRecord, Parsed, parse_records
from template.sources.csv_table import Table
from template.sources.declared_rows import DeclaredRows, check_declared, find_wanted
from template.sources.records import CsvRecords
from template.sources.splits import WholeFile
from template.sources.streams import (
    ReadSettings,
    UnreadableError,
    is_gzip,
    open_stream,
)
from template.sources.typed_cells import TypedCells, type_texts

_SAMPLE_BYTES = 256 << 10


@dataclass(frozen=True, kw_only=True)
class CsvSchema:
    """The columns of a file, the numeric ones among them, and the delimiter."""

    columns: tuple[str, ...]
    numeric: frozenset[str]
    delimiter: str


@dataclass(frozen=True, kw_only=True)
class CsvSplit(ChunkSplit):
    """Whole records of a plain file."""

    schema: CsvSchema

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the rows in blocks, and a dead letter for each that does not parse."""
        yield from _read_chunk(self.read_chunk(), self.schema, self.path, settings)


@dataclass(frozen=True, kw_only=True)
class CsvGzipFile(WholeFile):
    """A gzip file, which can only be read from its start."""

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the rows in blocks, and a dead letter for each that does not parse.

        The types are decided in an earlier pass, so only one chunk is in memory.
        """
        with open_stream(self.path, generation=self.file.generation) as stream:
            schema, _, _ = _begin(stream, self.file, settings)
        with open_stream(self.path, generation=self.file.generation) as stream:
            for part in _scan(stream, self.path, settings)[1]:
                if isinstance(part, DeadLetter):
                    yield part
                else:
                    yield from _read_chunk(part, schema, self.path, settings)


def split_csv(
    file: FileVersion, settings: ReadSettings
) -> Iterator[CsvSplit | CsvGzipFile | DeadLetter]:
    """Yield the splits of a file; a plain file is read once to find where its records end."""
    with open_stream(file.path, generation=file.generation) as stream:
        if is_gzip(stream):
            yield CsvGzipFile(file=file)
            return
        schema, splits, parts = _begin(stream, file, settings)
        for split in splits:
            yield split if isinstance(split, DeadLetter) else replace(split, schema=schema)
        for part in parts:
            if isinstance(part, DeadLetter):
                yield part
            else:
                yield CsvSplit.of(file, part, schema=schema)


def read_csv(stream: BinaryIO, path: str, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
    """Yield the rows of a small plain file as its splits would; it is parsed only once."""
    schema, parts = _scan(stream, path, settings)
    sample = _new_sample(schema, settings)
    held: list[tuple[Chunk, list[Parsed | BadRecord]] | DeadLetter] = []
    for part in parts:
        if isinstance(part, DeadLetter):
            held.append(part)
            continue
        records = [*_parse(part, schema, find_wanted(schema.columns, settings))]
        if sample.wanted:
            _add_records(sample, records, schema.columns)
        held.append((part, records))
    schema = _decide_types(schema, sample, settings)
    for each in held:
        if isinstance(each, DeadLetter):
            yield each
        else:
            yield from _read_records(*each, schema, path, settings)


def _begin(
    stream: BinaryIO, file: FileVersion, settings: ReadSettings
) -> tuple[CsvSchema, list[CsvSplit | DeadLetter], Iterator[Chunk | DeadLetter]]:
    """Return the schema of a file, splits of the part that was read for it, and the rest."""
    schema, parts = _scan(stream, file.path, settings)
    sample = _new_sample(schema, settings)
    splits: list[CsvSplit | DeadLetter] = []
    while sample.wanted and (part := next(parts, None)) is not None:
        if isinstance(part, DeadLetter):
            splits.append(part)
            continue
        splits.append(CsvSplit.of(file, part, schema=schema))
        # The first records are usually enough.
        pieces = read_chunks(
            io.BytesIO(part.data),
            CsvRecords(schema.delimiter.encode()),
            chunk_bytes=_SAMPLE_BYTES,
        )
        while (wanted := sample.wanted) and (piece := next(pieces, None)) is not None:
            assert isinstance(piece, Chunk), "CSV records are never skipped"
            _add_records(sample, _parse(piece, schema, wanted), wanted)
    return _decide_types(schema, sample, settings), splits, parts


def _new_sample(schema: CsvSchema, settings: ReadSettings) -> TypeSample:
    """Return a finder for the types of columns without a given type."""
    guessed = schema.columns if not settings.columns else ()
    given = (*settings.column_types, settings.key_column)
    return TypeSample([name for name in guessed if name not in given])


def _add_records(
    sample: TypeSample, records: Iterable[Parsed | BadRecord], names: Sequence[str]
) -> None:
    wanted = frozenset(sample.wanted)
    for parsed in records:
        if isinstance(parsed, Parsed):
            for name, column in zip(names, parsed.columns, strict=True):
                if name in wanted:
                    sample.add(name, column)


def _decide_types(schema: CsvSchema, sample: TypeSample, settings: ReadSettings) -> CsvSchema:
    numbers = {name for name, type_ in settings.column_types.items() if type_ == NUMBER}
    return replace(schema, numeric=sample.find_numeric() | numbers - {settings.key_column})


def _scan(
    stream: BinaryIO, path: str, settings: ReadSettings
) -> tuple[CsvSchema, Iterator[Chunk | DeadLetter]]:
    """Return the columns of a file, still without types, and its records."""
    head, start = read_head(stream)
    size, named = find_separator_line(head)
    delimiter = settings.csv_delimiter or named or find_delimiter(head[start + size :])
    start += size
    stream.seek(start)
    records = CsvRecords(delimiter.encode())
    columns: tuple[str, ...] = ()
    try:
        chunks = read_chunks(stream, records, offset=start, chunk_bytes=HEAD_BYTES, chunk_rows=1)
        header = next(chunks, None)
        if header is not None:
            assert isinstance(header, Chunk), "CSV records are never skipped"
            declared = [column.name for column in settings.columns]
            columns = parse_header(header.data, delimiter, declared)
            check_columns(columns, settings)
            check_declared(columns, settings)
            _check_types(columns, settings)
            start = header.offset + len(header.data)
            stream.seek(start)
    except UnreadableRestError as error:
        return _untyped(columns, delimiter), iter([error.to_dead_letter(path)])
    rest = read_chunks(stream, records, offset=start, chunk_rows=settings.max_rows)
    return _untyped(columns, delimiter), _read_rest(rest, path)


def _untyped(columns: tuple[str, ...], delimiter: str) -> CsvSchema:
    return CsvSchema(columns=columns, numeric=frozenset(), delimiter=delimiter)


def _read_rest(chunks: Iterator[Chunk | LostRow], path: str) -> Iterator[Chunk | DeadLetter]:
    try:
        for chunk in chunks:
            assert isinstance(chunk, Chunk), "CSV records are never skipped"
            yield chunk
    except UnreadableRestError as error:
        yield error.to_dead_letter(path)


def _check_types(columns: Sequence[str], settings: ReadSettings) -> None:
    optional = [column.name for column in settings.columns if column.optional]
    for name in settings.column_types:
        if name not in columns and name not in optional:
            raise UnreadableError(
                f"no column {name!r}, which column_types names{did_you_mean(name, columns)}; "
                f"its columns: {', '.join(columns)}"
            )


def _parse(
    chunk: Chunk, schema: CsvSchema, wanted: Sequence[str] | None
) -> Iterator[Parsed | BadRecord]:
    return parse_records(chunk.data, chunk.rows, schema.columns, schema.delimiter, wanted=wanted)


def _read_chunk(
    chunk: Chunk, schema: CsvSchema, path: str, settings: ReadSettings
) -> Iterator[Block | DeadLetter]:
    records = _parse(chunk, schema, find_wanted(schema.columns, settings))
    yield from _read_records(chunk, records, schema, path, settings)


def _read_records(
    chunk: Chunk,
    records: Iterable[Parsed | BadRecord],
    schema: CsvSchema,
    path: str,
    settings: ReadSettings,
) -> Iterator[Block | DeadLetter]:
    wanted = find_wanted(schema.columns, settings)
    for part in records:
        if isinstance(part, BadRecord):
            row = chunk.first_row + part.row
            yield _dead_row(path, row, part.problem, row_keys(settings.file_name(path), [row])[0])
        else:
            rows = part.rows + chunk.first_row
            if wanted is None:
                yield from _make_blocks(part.columns, rows, schema, path, settings)
            else:
                fields = dict(zip(wanted, part.columns, strict=True))
                yield from _make_declared_blocks(fields, rows, path, settings)


def _make_blocks(
    fields: Sequence[pa.ChunkedArray],
    rows: np.ndarray,
    schema: CsvSchema,
    path: str,
    settings: ReadSettings,
) -> Iterator[Block | DeadLetter]:
    wrong: dict[int, str] = {}
    numbers: dict[str, Numbers] = {}
    texts: dict[str, np.ndarray] = {}
    for name, column in zip(schema.columns, fields, strict=True):
        values, problems = read_texts(column)
        if name in schema.numeric:
            numbers[name] = read_numbers(values)
        if name not in schema.numeric or name in settings.passthrough_columns:
            texts[name] = values.to_pandas().to_numpy(dtype=object)
        for row, problem in problems.items():
            wrong.setdefault(row, f"column {name!r}: {problem}")
    keys = _find_keys(texts, rows, path, settings, wrong)
    yield from _dead_rows(wrong, keys, rows, path, settings)
    beside: dict[str, Cells] = {KEY: keys}
    beside.update((name, texts[name]) for name in settings.passthrough_columns)
    names = [name for name in schema.columns if name != settings.key_column]
    table = Table(names, numbers, texts, len(rows))
    for group in table.group_rows():
        keep = np.setdiff1d(group.rows, list(wrong)) if wrong else group.rows
        everything = len(keep) == len(rows)
        yield from make_blocks(
            table.take(keep, group.kinds),
            beside=beside if everything else {name: cells[keep] for name, cells in beside.items()},
            rows=rows[keep],
            path=path,
            batch_size=settings.batch_size,
            misfits=table.find_misfits(keep, group.kinds),
        )


def _make_declared_blocks(
    fields: Mapping[str, pa.ChunkedArray], rows: np.ndarray, path: str, settings: ReadSettings
) -> Iterator[Block | DeadLetter]:
    wrong: dict[int, str] = {}
    found: dict[str, TypedCells] = {}
    texts: dict[str, np.ndarray] = {}
    declared = {column.name: column for column in settings.columns}
    for name, field in fields.items():
        values, problems = read_texts(field)
        if name in declared:
            found[name] = type_texts(
                declared[name], values, settings.images, settings.max_image_pixels
            )
            problems = {**found[name].problems, **problems}
        if name == settings.key_column or name in settings.passthrough_columns:
            texts[name] = values.to_pandas().to_numpy(dtype=object)
        for row, problem in problems.items():
            wrong.setdefault(row, f"column {name!r}: {problem}")
    keys = _find_keys(texts, rows, path, settings, wrong)
    yield from _dead_rows(wrong, keys, rows, path, settings)
    typed = DeclaredRows.of_cells(found, len(rows), settings.columns).without(wrong)
    beside: dict[str, Cells] = {KEY: keys[typed.kept]}
    beside.update((name, texts[name][typed.kept]) for name in settings.passthrough_columns)
    yield from make_blocks(
        typed.make_frame(),
        beside=beside,
        rows=rows[typed.kept],
        path=path,
        batch_size=settings.batch_size,
        is_typed=True,
    )


def _find_keys(
    texts: Mapping[str, np.ndarray],
    rows: np.ndarray,
    path: str,
    settings: ReadSettings,
    wrong: dict[int, str],
) -> np.ndarray:
    """Return the keys of rows; ``wrong`` gets the rows without one."""
    if settings.key_column is None:
        return row_keys(settings.file_name(path), rows.tolist())
    keys = texts[settings.key_column]
    for row in np.flatnonzero(pd.isna(keys) | (keys == "")).tolist():
        wrong.setdefault(row, f"no value in the key column {settings.key_column!r}")
    return keys


def _dead_rows(
    wrong: Mapping[int, str],
    keys: np.ndarray,
    rows: np.ndarray,
    path: str,
    settings: ReadSettings,
) -> Iterator[DeadLetter]:
    for row, problem in sorted(wrong.items()):
        number = int(rows[row])
        has_key = isinstance(keys[row], str) and keys[row]
        key = keys[row] if has_key else row_keys(settings.file_name(path), [number])[0]
        yield _dead_row(path, number, problem, key)


def _dead_row(path: str, row: int, problem: str, key: str) -> DeadLetter:
    return DeadLetter(key=key, error=f"ValueError: {problem}", source=f"{path} row {row}")
