"""CSV files with a header line, comma-separated, UTF-8.

Header names follow ``pandas.read_csv``: a repeated ``a`` becomes ``a.1``, an empty name
``Unnamed: 0``. The type of a column belongs to the file, not to the block: it is numeric (float64)
when most of the first 1000 values that the file holds for it are numbers, else text; an empty
value is NaN or None. A row with a wrong number of fields, or with text in a numeric column, is a
dead letter.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from template.blocks import KEY, Block, Cells, make_blocks, row_keys
from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.sources.chunks import (
    BLANK_LINES,
    Chunk,
    ChunkSplit,
    UnreadableRestError,
    read_chunks,
    read_records,
)
from template.sources.columns import check_columns
from template.sources.splits import WHOLE, SplitId
from template.sources.streams import (
    GZIP_MAGIC,
    ReadSettings,
    UnreadableError,
    is_gzip,
    open_stream,
)

_TYPE_SAMPLE = 1000
_SHOWN_TEXT = 200
_BOM = b"\xef\xbb\xbf"
_OTHER_SEPARATORS = re.compile("[;\t|]")
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, kw_only=True)
class CsvSchema:
    """The columns of a file, and which of them are numeric."""

    columns: tuple[str, ...]
    numeric: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class CsvSplit(ChunkSplit):
    """Whole records of a plain file."""

    schema: CsvSchema

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the rows in blocks, and a dead letter for each that does not parse."""
        yield from _read_chunk(self.read_chunk(), self.schema, self.path, settings)


@dataclass(frozen=True, kw_only=True)
class CsvGzipFile:
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
                    schema, chunk = part
                    yield from _read_chunk(chunk, schema, self.path, settings)


def split_csv(
    file: FileVersion, settings: ReadSettings
) -> Iterator[CsvSplit | CsvGzipFile | DeadLetter]:
    """Yield the splits of a file; a plain file is read once to find where its records end."""
    with open_stream(file.path) as stream:
        if is_gzip(stream):
            yield CsvGzipFile(path=file.path, generation=file.generation)
            return
        for part in _scan(stream, file.path, settings):
            if isinstance(part, DeadLetter):
                yield part
                continue
            schema, chunk = part
            yield CsvSplit.of(file, chunk, schema=schema)


def _scan(
    stream: BinaryIO, path: str, settings: ReadSettings
) -> Iterator[tuple[CsvSchema, Chunk] | DeadLetter]:
    records = read_records(stream, quotes=True)
    schema = None
    try:
        header = next(read_chunks(records, chunk_bytes=1), None)
        if header is None:
            return
        columns = _parse_header(header.data, settings)
        for chunk in read_chunks(records, offset=header.offset + len(header.data)):
            schema = schema or _infer_schema(columns, chunk, settings)
            yield schema, chunk
    except UnreadableRestError as error:
        yield error.to_dead_letter(path)


def _parse_header(header: bytes, settings: ReadSettings) -> tuple[str, ...]:
    if header.startswith(_UTF16_BOMS):
        raise UnreadableError("encoded in UTF-16: save it as UTF-8")
    if header.startswith(GZIP_MAGIC):
        raise UnreadableError("compressed with gzip twice: compress it once")
    try:
        text = header.removeprefix(_BOM).decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"its header line is not UTF-8: {error}") from error
    if "\r" in text:
        raise UnreadableError("its lines end in carriage returns alone: save it with newlines")
    names: list[str] = []
    for position, name in enumerate(next(csv.reader([text]))):
        unique = name = name or f"Unnamed: {position}"
        repeats = 0
        while unique in names:
            repeats += 1
            unique = f"{name}.{repeats}"
        names.append(unique)
    if len(names) == 1 and (separator := _OTHER_SEPARATORS.search(names[0])):
        raise UnreadableError(f"its columns are separated by {separator[0]!r}: save it with commas")
    check_columns(names, settings)
    return tuple(names)


def _infer_schema(columns: tuple[str, ...], chunk: Chunk, settings: ReadSettings) -> CsvSchema:
    numeric = []
    parts = [part for part in _parse(chunk.data, chunk.rows, columns) if isinstance(part, _Parsed)]
    for position, name in enumerate(columns):
        if name == settings.key_column or not parts:
            continue
        sample = parts[0].columns[position].drop_null()[:_TYPE_SAMPLE]
        _, wrong = _convert(sample, numeric=True)
        if len(sample) and len(wrong) * 2 < len(sample):
            numeric.append(name)
    return CsvSchema(columns=columns, numeric=frozenset(numeric))


def _read_chunk(
    chunk: Chunk, schema: CsvSchema, path: str, settings: ReadSettings
) -> Iterator[Block | DeadLetter]:
    for part in _parse(chunk.data, chunk.rows, schema.columns):
        if isinstance(part, _BadRow):
            row = chunk.first_row + part.row
            yield _dead_row(path, row, part.problem, row_keys(settings.file_name(path), [row])[0])
        else:
            rows = part.rows + chunk.first_row
            yield from _make_blocks(part.columns, rows, schema, path, settings)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Parsed:
    """Records that parse: their row numbers in the chunk, and their fields as bytes."""

    rows: np.ndarray
    columns: list[pa.ChunkedArray]


@dataclass(frozen=True, kw_only=True)
class _BadRow:
    row: int
    problem: str


def _parse(
    data: bytes, rows: int, columns: Sequence[str], first: int = 0
) -> Iterator[_Parsed | _BadRow]:
    """Parse ``rows`` records.

    Where Arrow sees other records than ``read_records`` does (a stray carriage return), they are
    halved until the odd one stands alone.
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
                newlines_in_values=True,
                # It is called with text: Arrow would print a traceback for every other row.
                invalid_row_handler=note_bad_row if _is_utf8(data) else None,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.binary()),
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
            _BadRow(row=first + row, problem=problem) for row, problem in sorted(bad.items())
        )
        good = np.setdiff1d(np.arange(rows), list(bad)) + first
        if len(good):
            yield _Parsed(rows=good, columns=table.columns)
    elif rows == 1:
        yield _BadRow(row=first, problem=f"not a CSV record: {problem}")
    else:
        records = [
            record
            for record in read_records(io.BytesIO(data), quotes=True)
            if record not in BLANK_LINES
        ]
        half = rows // 2
        yield from _parse(b"".join(records[:half]), half, columns, first)
        yield from _parse(b"".join(records[half:]), rows - half, columns, first + half)


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _make_blocks(
    fields: Sequence[pa.ChunkedArray],
    rows: np.ndarray,
    schema: CsvSchema,
    path: str,
    settings: ReadSettings,
) -> Iterator[Block | DeadLetter]:
    wrong: dict[int, str] = {}
    numbers = np.empty((len(schema.numeric), len(rows)))
    texts: dict[int, pd.Series] = {}
    for position, (name, column) in enumerate(zip(schema.columns, fields, strict=True)):
        numeric = name in schema.numeric
        values, problems = _convert(column, numeric=numeric)
        if numeric:
            numbers[position - len(texts)] = values.to_numpy()
        else:
            texts[position] = values.to_pandas()
        for row, problem in problems.items():
            wrong.setdefault(row, f"column {name!r}: {problem}")
    numeric_names = [name for name in schema.columns if name in schema.numeric]
    frame = pd.DataFrame(numbers.T, columns=numeric_names)
    places = keys = row_keys(settings.file_name(path), rows.tolist())
    if settings.key_column is not None:
        keys = texts.pop(schema.columns.index(settings.key_column)).to_numpy(dtype=object)
        for row in np.flatnonzero(pd.isna(keys) | (keys == "")).tolist():
            wrong.setdefault(row, f"no value in the key column {settings.key_column!r}")
    beside: dict[str, Cells] = {KEY: keys}
    for name in settings.passthrough_columns:
        position = schema.columns.index(name)
        if position in texts:
            text = texts[position]
        elif name == settings.key_column:
            text = pd.Series(keys)
        else:  # what is not UTF-8 is no number either
            text = _convert(fields[position], numeric=False)[0].to_pandas()
        beside[name] = text.to_numpy(dtype=object)
    names = [name for name in schema.columns if name != settings.key_column]
    for position, name in enumerate(names):
        if name not in schema.numeric:
            frame.insert(position, name, texts[schema.columns.index(name)])
    for row, problem in sorted(wrong.items()):
        key = keys[row] if isinstance(keys[row], str) and keys[row] else places[row]
        yield _dead_row(path, int(rows[row]), problem, key)
    keep = np.setdiff1d(np.arange(len(rows)), list(wrong))
    if len(wrong):
        frame, rows = frame.iloc[keep], rows[keep]
        beside = {name: cells[keep] for name, cells in beside.items()}
    yield from make_blocks(
        frame, beside=beside, rows=rows, path=path, batch_size=settings.batch_size
    )


def _convert(column: pa.ChunkedArray, *, numeric: bool) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """Return the values as float64 or text, and what is wrong in which row."""
    wanted = pa.float64() if numeric else pa.string()
    try:
        return column.cast(pa.string()).cast(wanted), {}
    except pa.ArrowInvalid:
        pass
    values: list[float | str | None] = []
    problems: dict[int, str] = {}
    for row, field in enumerate(column.to_pylist()):
        value = text = None
        try:
            if field is not None:
                text = field.decode()
                value = _parse_number(text) if numeric else text
        except UnicodeDecodeError:
            problems[row] = f"{field!r} is not UTF-8"
        except ValueError:
            problems[row] = f"{str(text)[:_SHOWN_TEXT]!r} is not a number"
        values.append(value)
    return pa.chunked_array([pa.array(values, wanted)]), problems


def _parse_number(text: str) -> float:
    if "_" in text:  # which Python reads and nobody means
        raise ValueError(text)
    return float(text) if text.strip() else float("nan")


def _dead_row(path: str, row: int, problem: str, key: str) -> DeadLetter:
    return DeadLetter(key=key, error=f"ValueError: {problem}", source=f"{path} row {row}")
