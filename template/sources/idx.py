"""IDX files, the format of MNIST: a header with the dimensions, then the bytes of all rows.

http://yann.lecun.com/exdb/mnist/ describes it. Every row becomes an image, whatever its rank. A
plain file is split by rows; a gzip file is one split, because it can only be read from its start.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pandas as pd

from template.blocks import IMAGE, KEY, MAX_BLOCK_BYTES, SOURCE, Block, image_frame, row_keys
from template.dead_letters import DeadLetter, describe
from template.file_versions import FileVersion
from template.needs.fitting import fit_array
from template.sources.columns import check_folder_columns, check_passthrough, copy_images
from template.sources.declared_rows import check_image_column, complete_images
from template.sources.splits import WHOLE, SplitId
from template.sources.streams import (
    DAMAGE,
    GZIP_MAGIC,
    ReadSettings,
    UnreadableError,
    is_gzip,
    open_stored,
    open_stream,
    read_up_to,
)

ROWS_PER_SPLIT = 16_384
_MAX_ROW_BYTES = 64 << 20
_MAX_RANK = 8
_HEADER_BYTES = 64 << 10  # more than enough, compressed or not
_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@dataclass(frozen=True, kw_only=True)
class IdxHeader:
    """The number of rows, a row's shape and type, and the offset of the first row."""

    rows: int
    shape: tuple[int, ...]
    dtype: str
    offset: int

    @property
    def row_bytes(self) -> int:
        """Size of a row in bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, kw_only=True)
class IdxSplit:
    """The rows from ``start`` to ``stop`` of a file."""

    path: str
    generation: str
    header: IdxHeader
    start: int
    stop: int
    compressed: bool

    @property
    def id(self) -> SplitId:
        """The part of the file that it covers."""
        span = WHOLE if self.compressed else f"rows {self.start}-{self.stop - 1}"
        return SplitId(path=self.path, generation=self.generation, range=span)

    @property
    def rows(self) -> int:
        """The number of its rows."""
        return self.stop - self.start

    @property
    def source(self) -> str:
        """The split's content, for dead letters."""
        return f"{self.path} rows {self.start}-{self.stop - 1}"

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the rows in blocks, then a dead letter for an unreadable rest."""
        header = self.header
        size = max(header.row_bytes, settings.images.image_bytes)
        step = min(settings.batch_size, max(1, MAX_BLOCK_BYTES // size))
        first = header.offset + self.start * header.row_bytes
        if self.compressed:
            opened = open_stream(self.path, generation=self.generation)
        else:
            opened = open_stored(self.path, start=first, generation=self.generation)
        with opened as stream:
            if self.compressed:
                stream.seek(first)
            for start in range(self.start, self.stop, step):
                wanted = min(step, self.stop - start)
                data, problem = read_up_to(stream, wanted * header.row_bytes)
                rows = range(start, start + len(data) // header.row_bytes)
                if rows:
                    images = data[: len(rows) * header.row_bytes].view(header.dtype)
                    images = images.astype(images.dtype.newbyteorder("="), copy=False)
                    images = images.reshape(len(rows), *header.shape)
                    yield from self._make_block(images, rows, settings)
                if problem:
                    yield _missing_rows(self.path, rows.stop, self.stop, problem)
                    return
            if self.compressed:
                yield from _check_end(stream, self.path, header.rows)

    def _make_block(
        self, images: np.ndarray, rows: range, settings: ReadSettings
    ) -> Iterator[Block | DeadLetter]:
        """Yield images as a block, after a dead letter for each unexpected one."""
        keys = row_keys(settings.file_name(self.path), rows)
        index: pd.Index = pd.RangeIndex(rows.start, rows.stop)
        declared = settings.images
        if declared.is_declared and not (
            images.dtype == np.uint8 and self.header.shape == declared.shape
        ):
            fitted = {}
            for position, image in enumerate(images):
                try:
                    fitted[position] = fit_array(image, declared)
                except ValueError as error:
                    source = f"{self.path} row {rows[position]}"
                    yield DeadLetter(key=keys[position], error=describe(error), source=source)
            if not fitted:
                return
            images = np.stack(list(fitted.values()))
            keys, index = keys[list(fitted)], index[list(fitted)]
        yield Block(
            frame=complete_images(image_frame(images), settings),
            beside={KEY: keys, **copy_images(images, settings)},
            index=index,
            attrs={SOURCE: self.path},
            origin=_Pixels(images.copy()),
            is_typed=bool(settings.columns),
        )


@dataclass(frozen=True)
class _Pixels:
    """The images of a block in one read-only array."""

    images: np.ndarray

    def __call__(self) -> pd.DataFrame:
        return image_frame(self.images.copy())


def split_idx(file: FileVersion, settings: ReadSettings) -> Iterator[IdxSplit | DeadLetter]:
    """Yield the splits of a file, checked against its header and its size."""
    check_image_column(settings)
    check_passthrough((IMAGE,), settings.passthrough_columns)
    check_folder_columns((IMAGE,), settings)
    with open_stream(file.path, window=_HEADER_BYTES, generation=file.generation) as stream:
        header = read_header(stream)
        compressed = is_gzip(stream)
    if compressed:
        yield _new_split(file, header, 0, header.rows, compressed=True)
        return
    there, extra = divmod(file.size - header.offset, header.row_bytes)
    for start in range(0, min(there, header.rows), ROWS_PER_SPLIT):
        stop = min(start + ROWS_PER_SPLIT, there, header.rows)
        yield _new_split(file, header, start, stop, compressed=False)
    if there < header.rows:
        yield _missing_rows(file.path, there, header.rows, "the file ends too early")
    elif there > header.rows or extra:
        yield _extra_bytes(file.path, header.rows)


def _new_split(
    file: FileVersion, header: IdxHeader, start: int, stop: int, *, compressed: bool
) -> IdxSplit:
    return IdxSplit(
        path=file.path,
        generation=file.generation,
        header=header,
        start=start,
        stop=stop,
        compressed=compressed,
    )


def read_header(stream: BinaryIO) -> IdxHeader:
    """Read the header of an IDX file of images.

    Raises:
        UnreadableError: it is not one, has labels, or its rows are too large.
    """
    data, problem = read_up_to(stream, 4)
    magic = data.tobytes()
    if problem:
        raise UnreadableError(f"not an IDX file: {problem}")
    if magic[:2] == GZIP_MAGIC:
        raise UnreadableError("compressed with gzip twice: compress it once")
    if magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not magic[3]:
        raise UnreadableError(f"not an IDX file: it begins with {magic.hex()}, not with 0000")
    rank = magic[3]
    if rank > _MAX_RANK:
        raise UnreadableError(f"its IDX header announces {rank} dimensions, more than {_MAX_RANK}")
    dims, problem = read_up_to(stream, 4 * rank)
    if problem:
        raise UnreadableError(f"its IDX header is cut off: {problem}")
    rows, *shape = struct.unpack(f">{rank}I", dims.tobytes())
    if rank == 1:
        raise UnreadableError(f"an IDX file of {rows} labels, not of images")
    header = IdxHeader(rows=rows, shape=tuple(shape), dtype=_DTYPES[magic[2]], offset=4 + 4 * rank)
    if not 0 < header.row_bytes <= _MAX_ROW_BYTES:
        raise UnreadableError(f"its IDX header announces images of shape {header.shape}")
    return header


def _check_end(stream: BinaryIO, path: str, rows: int) -> Iterator[DeadLetter]:
    """Read past the last row, which makes gzip verify its checksum."""
    try:
        extra = stream.read(1)
    except DAMAGE as error:
        yield DeadLetter(
            key=None,
            error=f"UnreadableError: all {rows} rows are read, but the file is damaged: {error}",
            source=path,
        )
        return
    if extra:
        yield _extra_bytes(path, rows)


def _missing_rows(path: str, start: int, stop: int, problem: str) -> DeadLetter:
    return DeadLetter(
        key=None,
        error=f"UnreadableError: rows {start} to {stop - 1} are missing: {problem}",
        source=f"{path} rows {start}-{stop - 1}",
        is_unread_file=start == 0,
    )


def _extra_bytes(path: str, rows: int) -> DeadLetter:
    return DeadLetter(
        key=None,
        error=f"UnreadableError: bytes follow the {rows} rows that the header announces",
        source=path,
    )
