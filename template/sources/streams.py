"""Files as byte streams, decompressed by content, and how far a damaged one can be read."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, BinaryIO, cast

import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from template.dead_letters import utf8
from template.needs.columns import Column
from template.needs.image_format import AS_STORED, ImageFormat
from template.parameters import MAX_IMAGE_PIXELS

GCS = "gs://"
GZIP_MAGIC = b"\x1f\x8b"
WINDOW_BYTES = 8 << 20
"""The least that a request to Cloud Storage fetches, unless less is known to be needed."""
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
"""The exceptions raised by reading a truncated or corrupt gzip file."""
ENDS_EARLY = "the file ends too early"


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """How rows are cut into blocks and named.

    ``folder`` is where all files are, with its last slash: what a pattern begins with.
    An image of more than ``max_image_pixels`` is not decoded. ``folder_columns`` are the columns
    that a file's folders below ``folder`` give.
    ``csv_delimiter`` is found in each file if it is None. ``column_types`` has "text" or "number"
    for CSV columns whose type must not be guessed. ``columns`` and ``images`` are
    those that the model declares. ``max_rows`` are all that is read.
    """

    batch_size: int
    key_column: str | None = None
    passthrough_columns: tuple[str, ...] = ()
    max_image_pixels: int = MAX_IMAGE_PIXELS
    folder: str = ""
    folder_columns: frozenset[str] = frozenset()
    csv_delimiter: str | None = None
    column_types: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    images: ImageFormat = AS_STORED
    max_rows: int | None = None

    def file_name(self, path: str) -> str:
        """Return the file's name in keys, which is unique: its path below ``folder``."""
        if self.folder and path.startswith(self.folder):
            return utf8(path.removeprefix(self.folder))
        return utf8(FileSystems.split(path)[1])


class UnreadableError(ValueError):
    """A file, or the rest of one, cannot be read; the message says why."""


@contextmanager
def open_stored(
    path: str,
    *,
    start: int | None = 0,
    window: int = WINDOW_BYTES,
    generation: str | None = None,
) -> Iterator[BinaryIO]:
    """Open a file for reading as it is stored, whatever the object's Content-Encoding says.

    Args:
        path: where it is.
        start: the first place that is read; None for its end.
        window: the fewest bytes that a request to Cloud Storage fetches.
        generation: the only generation of a Cloud Storage object that is read; None for the latest.

    Raises:
        UnreadableError: it cannot be opened, or has another generation.
    """
    try:
        raw: Any
        if path.startswith(GCS):
            from template.sources.objects import ObjectStream  # brings Google's client

            raw = ObjectStream(path, start=start, window=window, generation=generation)
        elif "://" not in path:  # Beam's filesystem does the same in five times the time
            raw = open(path, "rb")  # noqa: PTH123, SIM115  # Path changes names; closed below
            raw.seek(start or 0)
        else:
            raw = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
            raw.seek(start or 0)
    except Exception as error:  # each filesystem raises its own exceptions
        if generation and getattr(error, "code", None) == HTTPStatus.NOT_FOUND:
            raise UnreadableError(
                f"it was overwritten or deleted after the job had found it: {error}"
            ) from error
        raise UnreadableError(f"cannot be opened: {error}") from error
    with raw:
        yield raw


@contextmanager
def open_stream(
    path: str, *, window: int = WINDOW_BYTES, generation: str | None = None
) -> Iterator[BinaryIO]:
    """Open a file for reading; gzip is decompressed, strictly: a truncated file raises.

    A file is gzip if it begins like gzip, or if its name ends in ``.gz``. Finding out takes a read
    at the file's start: use ``open_stored`` to read elsewhere in a file that is known to be plain.

    Raises:
        UnreadableError: as ``open_stored``.
    """
    with open_stored(path, window=window, generation=generation) as raw:
        begins_so = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        raw.seek(0)
        if begins_so or path.lower().endswith(".gz"):
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb"))
        else:
            yield raw


def is_gzip(stream: BinaryIO) -> bool:
    """Return whether ``open_stream`` decompresses; such a file is read only from its start."""
    return isinstance(stream, gzip.GzipFile)


def read_up_to(stream: BinaryIO, size: int) -> tuple[np.ndarray, str | None]:
    """Read ``size`` bytes, or as many as can be read and the reason why there are no more."""
    data = np.empty(size, dtype=np.uint8)
    view = data.data
    filled = 0
    reason = None
    while filled < size:
        try:
            # One raw read at a time, so that the data before the damage is not lost.
            count = stream.readinto1(view[filled:])  # type: ignore[attr-defined]
        except DAMAGE as error:
            reason = f"the file is damaged: {error}"
            break
        if not count:
            reason = ENDS_EARLY
            break
        filled += count
    return data[:filled], reason
