"""Predictions and dead letters as files, on Beam's FileBasedSink.

A bundle is written to a temporary file and renamed when the job has all of them, so a retried
bundle leaves nothing twice. Files are named ``<output>-00000-of-00003.jsonl``; where there is
nothing to write there is no file. The columns of a file are those of its first block. The types of
a Parquet file are those of its first row group: for each column the one that holds all its values,
and text where it has none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, BinaryIO

import apache_beam as beam
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from apache_beam.io.filebasedsink import FileBasedSink
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import PCollection, TaggedOutput

from template.dead_letters import DeadLetter
from template.sinks.encoding import (
    CsvRows,
    arrow_table,
    csv_header,
    csv_rows,
    encode_block,
    json_lines,
)

_log = logging.getLogger(__name__)

_ROW_GROUP_BYTES = 16 << 20  # in memory


class OutputError(RuntimeError):
    """Results cannot be written: the place, or the columns of a block."""


class WritePredictions(beam.PTransform):
    """Writes blocks of predictions to ``<output>-*``, as "jsonl", "csv" or "parquet"."""

    def __init__(self, output: str, output_format: str) -> None:
        super().__init__()
        sink, self._encode = _FORMATS[output_format]
        self._sink = sink(output, f".{output_format}")

    def expand(self, blocks: PCollection) -> PCollection[DeadLetter]:
        """Write; the result is a dead letter for each row that cannot be written."""
        encoded, dead_letters = blocks | "Encode" >> beam.ParDo(
            _EncodeDoFn(self._encode)
        ).with_outputs(_EncodeDoFn.DEAD_LETTERS, main="encoded")
        _ = encoded | "Write" >> beam.io.Write(self._sink)
        return dead_letters


class WriteDeadLetters(beam.PTransform):
    """Writes dead letters to ``<output>-errors-*.jsonl``."""

    def __init__(self, output: str) -> None:
        super().__init__()
        self._sink = _DeadLetterSink(f"{output}-errors", ".jsonl")

    def expand(self, dead_letters: PCollection) -> PCollection:
        """Write; the result is the names of the files."""
        return dead_letters | "Write" >> beam.io.Write(self._sink)


@beam.typehints.with_output_types(Any, dead_letters=DeadLetter)
class _EncodeDoFn(beam.DoFn):
    """Block -> what a sink writes of it, and dead letters."""

    DEAD_LETTERS = "dead_letters"

    def __init__(self, encode: Callable[[pd.DataFrame], Any]) -> None:
        self._encode = encode

    def process(self, element: pd.DataFrame) -> Iterator[Any]:
        for part in encode_block(element, self._encode):
            if isinstance(part, DeadLetter):
                yield TaggedOutput(self.DEAD_LETTERS, part)
            else:
                yield part


class _Sink(FileBasedSink):
    """A sink that finds out before the first row whether it can write."""

    def __init__(self, prefix: str, suffix: str) -> None:
        super().__init__(
            prefix,
            coder=None,
            file_name_suffix=suffix,
            compression_type=CompressionTypes.UNCOMPRESSED,
            skip_if_empty=True,
        )
        # What it replaces are files of its own: Beam's ``-*-of-`` would find the dead letters too,
        # ``<output>-errors-00000-of-00003.jsonl``, and delete them.
        self.shard_name_glob_format = f"-{'[0-9]' * 5}-of-%(num_shards)05d"

    def initialize_write(self) -> str:
        output = self.file_path_prefix.get()
        try:
            folder: str = super().initialize_write()
            probe = FileSystems.join(folder, "probe")
            with FileSystems.create(probe, compression_type=CompressionTypes.UNCOMPRESSED) as file:
                file.write(b"flexpack")
            FileSystems.delete([probe])
        except Exception as error:  # every filesystem has its own exceptions
            raise OutputError(
                f"--output {output!r}: cannot be written; check that the place exists and that "
                f"the job's service account may write there: {error}"
            ) from error
        self._warn_of_earlier_files(output)
        return folder

    def _warn_of_earlier_files(self, output: str) -> None:
        """Tell of files that only go away where this job writes one of the same name."""
        pattern = f"{output}-{'[0-9]' * 5}-of-*{self.file_name_suffix.get()}"
        (match,) = FileSystems.match([pattern], limits=[1])
        if match.metadata_list:
            _log.warning(
                "--output %r: files of an earlier run are there, %s for one. This job replaces "
                "those of the same name, and the others stay beside its own: give every run an "
                "output of its own",
                output,
                match.metadata_list[0].path,
            )


class _JsonlSink(_Sink):
    def write_record(self, file_handle: BinaryIO, value: bytes) -> None:
        file_handle.write(value)


class _DeadLetterSink(_Sink):
    def write_record(self, file_handle: BinaryIO, value: DeadLetter) -> None:
        file_handle.write(orjson.dumps(value.to_json()) + b"\n")


@dataclass
class _CsvFile:
    handle: BinaryIO
    columns: tuple[str, ...] | None = None


class _CsvSink(_Sink):
    def open(self, temp_path: str) -> _CsvFile:
        return _CsvFile(super().open(temp_path))

    def write_record(self, file_handle: _CsvFile, value: CsvRows) -> None:
        if file_handle.columns is None:
            file_handle.columns = value.columns
            file_handle.handle.write(csv_header(value.columns))
        _check_columns("csv", value.columns, file_handle.columns)
        file_handle.handle.write(value.text)

    def close(self, file_handle: _CsvFile) -> None:
        file_handle.handle.close()


@dataclass
class _ParquetFile:
    handle: BinaryIO
    writer: pyarrow.parquet.ParquetWriter | None = None
    tables: list[pa.Table] = field(default_factory=list)
    """Blocks of the next row group."""
    size: int = 0
    """Their bytes."""


class _ParquetSink(_Sink):
    def open(self, temp_path: str) -> _ParquetFile:
        return _ParquetFile(super().open(temp_path))

    def write_record(self, file_handle: _ParquetFile, value: pa.Table) -> None:
        first = file_handle.writer.schema if file_handle.writer else None
        if file_handle.tables:
            first = file_handle.tables[0].schema
        if first is not None:
            _check_columns("parquet", value.schema.names, first.names)
        file_handle.tables.append(value)
        file_handle.size += value.nbytes
        if file_handle.size >= _ROW_GROUP_BYTES:
            _write_row_group(file_handle)

    def close(self, file_handle: _ParquetFile) -> None:
        if file_handle.tables:
            _write_row_group(file_handle)
        if file_handle.writer is not None:
            file_handle.writer.close()
        file_handle.handle.close()


def _write_row_group(file: _ParquetFile) -> None:
    if file.writer is None:
        schema = _find_schema(dict.fromkeys(table.schema for table in file.tables))
        file.writer = pyarrow.parquet.ParquetWriter(file.handle, schema)
    schema = file.writer.schema
    rows = pa.concat_tables([_cast(table, schema) for table in file.tables])
    file.writer.write_table(rows, row_group_size=max(1, len(rows)))
    file.tables, file.size = [], 0


def _find_schema(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """Return for each column the type that holds the values of all schemas."""
    first, *others = schemas
    fields = []
    for position, name in enumerate(first.names):
        type_ = first.types[position]
        for other in others:
            try:
                type_ = _widen(type_, other.types[position])
            except pa.ArrowException as error:
                raise _type_error(name, other.types[position], type_) from error
        fields.append((name, pa.string() if pa.types.is_null(type_) else type_))
    return pa.schema(fields)


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = []
    for field_, column in zip(schema, table.columns, strict=True):
        try:
            # A cast of structs would drop the fields that the file does not have.
            if pa.types.is_nested(field_.type) and _widen(field_.type, column.type) != field_.type:
                raise pa.ArrowTypeError(f"{column.type} is wider than {field_.type}")
            columns.append(column.cast(field_.type))
        except pa.ArrowException as error:
            raise _type_error(field_.name, column.type, field_.type) from error
    return pa.table(columns, schema=schema)


def _widen(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    schemas = [pa.schema([("", type_)]) for type_ in (one, other)]
    return pa.unify_schemas(schemas, promote_options="permissive").types[0]


def _type_error(name: str, type_: pa.DataType, written: pa.DataType) -> OutputError:
    return OutputError(
        f"--output_format parquet: column {name!r} is {type_} in a block, but {written} before it "
        "in the same file: let predict return one type, or pass --output_format=jsonl"
    )


def _check_columns(output_format: str, columns: Sequence[str], first: Sequence[str]) -> None:
    if tuple(columns) != tuple(first):
        raise OutputError(
            f"--output_format {output_format}: a block has the columns {', '.join(columns)}, but "
            f"its file begins with {', '.join(first)}: let predict return the same columns for "
            "every row, or pass --output_format=jsonl"
        )


_FORMATS: Mapping[str, tuple[type[_Sink], Callable[[pd.DataFrame], Any]]] = MappingProxyType(
    {
        "jsonl": (_JsonlSink, json_lines),
        "csv": (_CsvSink, csv_rows),
        "parquet": (_ParquetSink, arrow_table),
    }
)
