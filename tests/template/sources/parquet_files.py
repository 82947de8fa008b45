"""Parquet files of the tests: read whole, and with values that Python does not have."""

import pyarrow as pa
import pyarrow.parquet as pq

from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.sources import parquet
from template.sources.streams import ReadSettings


def read(path, *, key_column=None, batch_size=1000):
    settings = ReadSettings(batch_size=batch_size, key_column=key_column)
    file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
    splits = list(parquet.split_parquet(file, settings))
    parts = [part for split in splits for part in split.read(settings)]
    blocks = [part for part in parts if not isinstance(part, DeadLetter)]
    letters = [part for part in parts if isinstance(part, DeadLetter)]
    return splits, blocks, letters


def damage(path, row_group):
    """Overwrite the first data page of a row group."""
    start = pq.ParquetFile(path).metadata.row_group(row_group).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)


def view(numbers, type_):
    """Return numbers as a type of the same width, including bits that are no Python value."""
    return pa.array(numbers, pa.int32() if type_.bit_width == 32 else pa.int64()).view(type_)


def in_lists(array):
    return pa.ListArray.from_arrays(list(range(len(array) + 1)), array)
