"""Predictions and dead letters as files, on Beam's FileBasedSink.

A bundle is written to a temporary file and renamed when the job has all of them, so a retried
bundle leaves nothing twice. Files are named ``<output>-00000-of-00003.jsonl``; where there is
nothing to write there is no file. The columns (and for Parquet the types) of a file are those of
its first block.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO

import apache_beam as beam
import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from apache_beam.io.filebasedsink import FileBasedSink
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import PCollection

_log = logging.getLogger(__name__)

_JSON_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class OutputError(RuntimeError):
    """Results cannot be written: the place, or the columns of a block."""


class WritePredictions(beam.PTransform):
    """Writes blocks of predictions to ``<output>-*``, as "jsonl", "csv" or "parquet"."""

    def __init__(self, output: str, output_format: str) -> None:
        super().__init__()
        self._sink = _SINKS[output_format](output, f".{output_format}")

    def expand(self, blocks: PCollection) -> PCollection:
        """Write; the result is the names of the files."""
        return blocks | "Write" >> beam.io.Write(self._sink)


class WriteDeadLetters(beam.PTransform):
    """Writes dead letters to ``<output>-errors-*.jsonl``."""

    def __init__(self, output: str) -> None:
        super().__init__()
        self._sink = _DeadLetterSink(f"{output}-errors", ".jsonl")

    def expand(self, dead_letters: PCollection) -> PCollection:
        """Write; the result is the names of the files."""
        return dead_letters | "Write" >> beam.io.Write(self._sink)


def json_lines(block: pd.DataFrame) -> bytes:
    """Return a block as JSON Lines; NaN and None become null."""
    names = list(block.columns)
    rows = zip(*[column.tolist() for _, column in block.items()], strict=True)
    records = [dict(zip(names, row)) for row in rows]  # noqa: B905  (the hot loop)
    if not records:
        return b""
    # One call for all records is many times faster than one call for each. No JSON string holds
    # this boundary, because a quote inside of one is escaped; a nested object may.
    lines = orjson.dumps(records, _plain, _JSON_OPTIONS)[1:-1]
    start = b"{%b:" % orjson.dumps(names[0])
    if lines.count(b"}," + start) == len(records) - 1:
        return lines.replace(b"}," + start, b"}\n" + start) + b"\n"
    return b"".join([orjson.dumps(record, _plain, _JSON_OPTIONS) + b"\n" for record in records])


def _plain(value: Any) -> Any:
    """Return what orjson does not know as something that it does."""
    if value is pd.NA or value is pd.NaT:
        return None
    for convert in ("tolist", "isoformat"):  # tensors and foreign arrays; timestamps
        if hasattr(value, convert):
            return getattr(value, convert)()
    raise TypeError(f"a prediction holds a {type(value).__name__}, which JSON cannot hold")


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
    def write_record(self, file_handle: BinaryIO, value: pd.DataFrame) -> None:
        file_handle.write(json_lines(value))


class _DeadLetterSink(_Sink):
    def write_record(self, file_handle: BinaryIO, value: Any) -> None:
        file_handle.write(orjson.dumps(value.to_json()) + b"\n")


@dataclass
class _CsvFile:
    handle: BinaryIO
    columns: list[str] | None = None


class _CsvSink(_Sink):
    def open(self, temp_path: str) -> _CsvFile:
        return _CsvFile(super().open(temp_path))

    def write_record(self, file_handle: _CsvFile, value: pd.DataFrame) -> None:
        columns = list(value.columns)
        first = file_handle.columns is None
        if first:
            file_handle.columns = columns
        elif columns != file_handle.columns:
            raise OutputError(
                f"--output_format csv: a block has the columns {', '.join(columns)}, but its "
                f"file begins with {', '.join(file_handle.columns or [])}"
            )
        text = value.map(_csv_cell).to_csv(index=False, header=first)
        file_handle.handle.write(text.encode())

    def close(self, file_handle: _CsvFile) -> None:
        file_handle.handle.close()


def _csv_cell(cell: Any) -> Any:
    if isinstance(cell, list | dict | tuple | np.ndarray):
        return orjson.dumps(cell, _plain, _JSON_OPTIONS).decode()
    return cell


@dataclass
class _ParquetFile:
    handle: BinaryIO
    writer: pyarrow.parquet.ParquetWriter | None = None


class _ParquetSink(_Sink):
    def open(self, temp_path: str) -> _ParquetFile:
        return _ParquetFile(super().open(temp_path))

    def write_record(self, file_handle: _ParquetFile, value: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(value, preserve_index=False).replace_schema_metadata()
        if file_handle.writer is None:
            file_handle.writer = pyarrow.parquet.ParquetWriter(file_handle.handle, table.schema)
        file_handle.writer.write_table(_cast(table, file_handle.writer.schema))

    def close(self, file_handle: _ParquetFile) -> None:
        if file_handle.writer is not None:
            file_handle.writer.close()
        file_handle.handle.close()


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    if table.schema.names != schema.names:
        raise OutputError(
            f"--output_format parquet: a block has the columns {', '.join(table.schema.names)}, "
            f"but its file begins with {', '.join(schema.names)}"
        )
    columns = []
    for field, column in zip(schema, table.columns, strict=True):
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowException as error:
            raise OutputError(
                f"--output_format parquet: column {field.name!r} is {column.type} in a block, but "
                f"{field.type} in the first block of its file: let predict return one type"
            ) from error
    return pa.table(columns, schema=schema)


_SINKS: Mapping[str, type[_Sink]] = MappingProxyType(
    {"jsonl": _JsonlSink, "csv": _CsvSink, "parquet": _ParquetSink}
)
