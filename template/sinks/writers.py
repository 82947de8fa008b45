"""Writers of one temporary file each: JSON Lines, CSV, Parquet and dead letters.

Before a writer gets an element, it reports whether the element fits its file. Predictions that have
other columns, or types that no column of the file can hold, go to another file: no value is lost or
changed because of a neighbour.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from template.dead_letters import DeadLetter
from template.sinks.arrow_values import find_leaves
from template.sinks.encoding import CsvRows, csv_header

_ROW_GROUP_BYTES = 16 << 20  # in memory
_MOST_REASONS = 1000  # the most reasons that a writer counts separately
_REASON_LENGTH = 300


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """A file that a bundle has written.

    Attributes:
        path: its temporary place.
        rows: the number of its rows.
        columns: the name, and in Parquet the type, of each column; empty for JSON Lines.
        reasons: of dead letters, with their counts; rare ones may be missing.
        unread_files: the number of dead letters for files that could not be read at all.
    """

    path: str
    rows: int
    columns: tuple[str, ...] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)
    unread_files: int = 0


class Writer(Protocol):
    """Writes elements to a file that it creates."""

    def accepts(self, value: Any) -> bool:
        """Return whether the file can hold an element."""

    def write(self, value: Any) -> None:
        """Write an element."""

    def close(self) -> WrittenFile:
        """Complete the file."""


def create_file(path: str) -> BinaryIO:
    """Create a file that stores bytes unchanged, whatever its name."""
    file: BinaryIO = FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return file


class JsonlWriter:
    """Writes lines."""

    suffix = ".jsonl"

    def __init__(self, folder: str) -> None:
        self._path = FileSystems.join(folder, f"{uuid.uuid4()}{self.suffix}")
        self._file = create_file(self._path)
        self._rows = 0

    def accepts(self, value: bytes) -> bool:
        """Return True: lines may differ."""
        return True

    def write(self, value: bytes) -> None:
        """Write lines."""
        self._file.write(value)
        self._rows += value.count(b"\n")

    def close(self) -> WrittenFile:
        """Complete the file."""
        self._file.close()
        return WrittenFile(path=self._path, rows=self._rows)


class DeadLetterWriter(JsonlWriter):
    """Writes dead letters, a line each, and counts their reasons."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self._reasons: Counter[str] = Counter()
        self._unread_files = 0

    def write(self, value: Any) -> None:
        """Write a dead letter."""
        letter: DeadLetter = value
        record = letter.to_json()
        super().write(orjson.dumps(record) + b"\n")
        self._unread_files += letter.is_unread_file
        reason = record["error"][:_REASON_LENGTH]
        if reason in self._reasons or len(self._reasons) < _MOST_REASONS:
            self._reasons[reason] += 1

    def close(self) -> WrittenFile:
        """Complete the file."""
        self._file.close()
        return WrittenFile(
            path=self._path,
            rows=self._rows,
            reasons=dict(self._reasons),
            unread_files=self._unread_files,
        )


class CsvWriter:
    """Writes a header, and rows whose columns are all in it."""

    suffix = ".csv"

    def __init__(self, folder: str) -> None:
        self._path = FileSystems.join(folder, f"{uuid.uuid4()}{self.suffix}")
        self._file = create_file(self._path)
        self._columns: tuple[str, ...] = ()
        self._rows = 0

    def accepts(self, value: CsvRows) -> bool:
        """Return whether the file has all columns of the rows."""
        return not self._columns or set(value.fields).issubset(self._columns)

    def write(self, value: CsvRows) -> None:
        """Write rows; their missing columns become empty fields."""
        if not self._columns:
            self._columns = tuple(value.fields)
            self._file.write(csv_header(self._columns))
        absent = [""] * value.rows
        fields = [value.fields.get(column, absent) for column in self._columns]
        lines = [*map(",".join, zip(*fields, strict=True)), ""]
        self._file.write("\n".join(lines).encode())
        self._rows += value.rows

    def close(self) -> WrittenFile:
        """Complete the file."""
        self._file.close()
        return WrittenFile(path=self._path, rows=self._rows, columns=self._columns)


class ParquetWriter:
    """Gathers tables into row groups; the first one decides the types of the columns.

    A column's type is one that holds all its values, or text if it has none.
    """

    suffix = ".parquet"

    def __init__(self, folder: str) -> None:
        self._path = FileSystems.join(folder, f"{uuid.uuid4()}{self.suffix}")
        self._file = create_file(self._path)
        self._writer: pyarrow.parquet.ParquetWriter | None = None
        self._schema = pa.schema([])
        self._valueless: set[str] = set()  # the columns that were null in every row so far
        self._tables: list[pa.Table] = []  # of the next row group, all of the same schema
        self._size = 0
        self._rows = 0

    def accepts(self, value: pa.Table) -> bool:
        """Return whether the file's columns hold, or can still hold, the table's values."""
        try:
            self._fit(value)
        except pa.ArrowException:
            return False
        return True

    def write(self, value: pa.Table) -> None:
        """Write a table that the file accepts; its missing columns become null."""
        is_first = not self._schema.names
        self._schema, self._tables, table = self._fit(value)
        self._tables.append(table)
        empty = set(_find_valueless(value))
        absent = set(self._schema.names) - set(value.schema.names)
        self._valueless = empty if is_first else self._valueless & (empty | absent)
        self._size += value.nbytes
        self._rows += len(value)
        if self._size >= _ROW_GROUP_BYTES:
            self._write_row_group()

    def close(self) -> WrittenFile:
        """Complete the file."""
        if self._tables:
            self._write_row_group()
        assert self._writer is not None, "a file is opened for a table"
        self._writer.close()
        self._file.close()
        columns = tuple(f"{field.name} {field.type}" for field in self._schema)
        return WrittenFile(path=self._path, rows=self._rows, columns=columns)

    def _fit(self, value: pa.Table) -> tuple[pa.Schema, list[pa.Table], pa.Table]:
        """Return a schema for the new table and all earlier ones.

        Raises:
            pa.ArrowException: there is none.
        """
        schema = self._schema
        if not schema.names:
            return value.schema, [], value
        if value.schema == schema:
            return schema, self._tables, value
        if not set(value.schema.names).issubset(schema.names):
            raise pa.ArrowTypeError("the file does not have all columns of the table")
        if self._writer is None:
            # A column whose rows all lack an integer has floats, and decides nothing.
            empty = _find_valueless(value)
            types = [field for field in value.schema if field.name not in empty]
            for field in types:
                if field.name in self._valueless:
                    schema = schema.set(schema.get_field_index(field.name), field)
            schema = pa.unify_schemas([schema, pa.schema(types)], promote_options="permissive")
        return schema, [_cast(table, schema) for table in self._tables], _cast(value, schema)

    def _write_row_group(self) -> None:
        if self._writer is None:
            self._schema = pa.schema(
                [
                    (field.name, pa.string() if pa.types.is_null(field.type) else field.type)
                    for field in self._schema
                ]
            )
            self._writer = pyarrow.parquet.ParquetWriter(self._file, self._schema)
        rows = pa.concat_tables([_cast(table, self._schema) for table in self._tables])
        self._writer.write_table(rows, row_group_size=max(1, len(rows)))
        self._tables, self._size = [], 0


def _find_valueless(table: pa.Table) -> list[str]:
    """Return the columns that are null in every row."""
    return [
        name
        for name, column in zip(table.schema.names, table.columns, strict=True)
        if column.null_count == len(column)
    ]


def _count_decimals(type_: pa.DataType) -> int:
    return sum(map(pa.types.is_decimal, find_leaves(type_)))


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with the columns of a schema, null if it lacks them.

    Raises:
        pa.ArrowException: a column cannot hold a value exactly.
    """
    if table.schema == schema:
        return table
    columns = []
    for field_ in schema:
        column = table.column(field_.name) if field_.name in table.schema.names else None
        if column is None or column.null_count == len(column):
            columns.append(pa.nulls(len(table), field_.type))
            continue
        if pa.types.is_nested(field_.type):
            # A cast of structs would drop the fields that the file does not have.
            kinds = [pa.schema([("", type_)]) for type_ in (field_.type, column.type)]
            if pa.unify_schemas(kinds, promote_options="permissive").types[0] != field_.type:
                raise pa.ArrowTypeError(f"{column.type} is wider than {field_.type}")
        if pa.types.is_binary(field_.type) and pa.types.is_string(column.type):
            raise pa.ArrowTypeError("a text is not bytes")
        if _count_decimals(field_.type) < _count_decimals(column.type):
            raise pa.ArrowTypeError("a float cannot hold all digits of a decimal")
        columns.append(column.cast(field_.type))
    return pa.table(columns, schema=schema)
