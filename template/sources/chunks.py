"""Reads text files as chunks of whole records.

A chunk knows its first row and its place in the file, so that plain files can be split into chunks
that many workers read. Blank lines are not rows; in JSON Lines, lines of white space are not rows
either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Self

import numpy as np

from template.dead_letters import DeadLetter, describe
from template.file_versions import FileVersion
from template.sources.records import Records
from template.sources.splits import SplitId
from template.sources.streams import ENDS_EARLY, UnreadableError, open_stored, read_up_to

BOM = b"\xef\xbb\xbf"
CHUNK_BYTES = 8 << 20
MAX_RECORD_BYTES = 64 << 20
HEAD_BYTES = 64 << 10
_SPACE = ord(" ")
_NOT_TEXT = {
    b"\xff\xfe": "encoded in UTF-16: save it as UTF-8",
    b"\xfe\xff": "encoded in UTF-16: save it as UTF-8",
    b"\x00\x00\xfe\xff": "encoded in UTF-32: save it as UTF-8",
    b"\x1f\x8b": "compressed with gzip twice: compress it once",
    b"PK\x03\x04": "a ZIP file, as Excel workbooks are: unpack it, or export the sheet as text",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: export the sheet as CSV",
    b"PAR1\x15": "a Parquet file: name it *.parquet",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: use gzip, or none",
    b"BZh91AY": "compressed with bzip2: use gzip, or none",
}


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Whole records: ``rows`` of them, the first is row ``first_row``, at byte ``offset``."""

    first_row: int
    rows: int
    offset: int
    data: bytes


@dataclass(frozen=True, kw_only=True)
class ChunkSplit:
    """A chunk of a plain file to read later, perhaps on another worker."""

    path: str
    generation: str
    first_row: int
    rows: int
    offset: int
    size: int

    @classmethod
    def of(cls, file: FileVersion, chunk: Chunk, **more: Any) -> Self:
        """Return the split of a chunk; ``more`` are the fields of the format."""
        return cls(
            path=file.path,
            generation=file.generation,
            first_row=chunk.first_row,
            rows=chunk.rows,
            offset=chunk.offset,
            size=len(chunk.data),
            **more,
        )

    @property
    def id(self) -> SplitId:
        """The part of the file that it covers."""
        span = f"bytes {self.offset}-{self.offset + self.size - 1}"
        return SplitId(path=self.path, generation=self.generation, range=span)

    @property
    def source(self) -> str:
        """The split's content, for dead letters."""
        return f"{self.path} rows {self.first_row}-{self.first_row + self.rows - 1}"

    def read_chunk(self) -> Chunk:
        """Read the chunk from the file."""
        with open_stored(
            self.path, start=self.offset, window=self.size, generation=self.generation
        ) as stream:
            data = stream.read(self.size)
        return Chunk(first_row=self.first_row, rows=self.rows, offset=self.offset, data=data)


class UnreadableRestError(UnreadableError):
    """The text cannot be read from row ``first_row`` on."""

    def __init__(self, first_row: int, problem: str) -> None:
        super().__init__(f"it cannot be read from row {first_row} on: {problem}")
        self.first_row = first_row

    def to_dead_letter(self, path: str) -> DeadLetter:
        """Return the dead letter that stands for all of these rows."""
        return DeadLetter(
            key=None,
            error=describe(self),
            source=f"{path} rows {self.first_row}-",
            is_unread_file=self.first_row == 0,
        )


@dataclass(frozen=True, kw_only=True)
class LostRow:
    """A row that cannot be read, unlike those after it."""

    row: int
    problem: str

    def to_dead_letter(self, path: str, key: str) -> DeadLetter:
        """Return the dead letter of the row."""
        return DeadLetter(
            key=key, error=f"ValueError: {self.problem}", source=f"{path} row {self.row}"
        )


def read_head(stream: BinaryIO) -> tuple[bytes, int]:
    """Return the first bytes of a text file, and the length of its byte order mark.

    The next read begins after the mark.

    Raises:
        UnreadableError: it is not text, or not in UTF-8.
    """
    head = bytes(read_up_to(stream, HEAD_BYTES)[0])
    for magic, problem in _NOT_TEXT.items():
        if head.startswith(magic):
            raise UnreadableError(f"not a text file in UTF-8, but {problem}")
    if b"\x00" in head[:2]:
        raise UnreadableError("not a text file in UTF-8, but encoded in UTF-16: save it as UTF-8")
    start = len(BOM) if head.startswith(BOM) else 0
    stream.seek(start)
    return head, start


def read_chunks(
    stream: BinaryIO,
    records: Records,
    *,
    offset: int = 0,
    chunk_bytes: int = CHUNK_BYTES,
    chunk_rows: int | None = None,
    max_bytes: int = MAX_RECORD_BYTES,
) -> Iterator[Chunk | LostRow]:
    """Read whole records in chunks that begin with a row, of ``chunk_rows`` at most.

    Args:
        stream: the file, at the next record.
        records: finds the ends of records.
        offset: the stream's place in the file.
        chunk_bytes: the bytes read at a time.
        chunk_rows: the most rows of a chunk; None if only bytes count.
        max_bytes: the size of the longest record.

    Raises:
        UnreadableRestError: after all chunks that can be read.
    """
    row = 0
    rest = b""
    skipped = 0  # bytes of the record that ``rest`` begins with
    problem = None
    while problem is None:
        read, problem = read_up_to(stream, chunk_bytes)
        data = rest + read.tobytes()
        is_cut_off = problem == ENDS_EARLY and data[-1:] not in (b"", b"\n")
        ends = np.minimum(records.find_ends(data + b"\n" if is_cut_off else data), len(data))
        starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
        sizes = ends - starts
        sizes[:1] += skipped
        begin = 0
        for long in [*np.flatnonzero(sizes > max_bytes).tolist(), len(ends)]:
            within = slice(begin, long)
            for chunk in _cut(data, starts[within], ends[within], records, chunk_rows):
                yield replace(chunk, first_row=row, offset=offset + chunk.offset)
                row += chunk.rows
            begin = long + 1
            if long < len(ends):
                yield _lose(int(sizes[long]), row, records, max_bytes)
                row += 1
        done = int(ends[-1]) if len(ends) else 0
        rest = data[done:]
        offset += done
        if len(ends):
            skipped = 0
        if skipped + len(rest) > max_bytes:
            _lose(skipped + len(rest), row, records, max_bytes)
            skipped += len(rest) - 1
            offset += len(rest) - 1
            rest = rest[-1:]
    if problem != ENDS_EARLY:
        raise UnreadableRestError(row, problem)
    if rest:
        raise UnreadableRestError(row, "a quoted field is not closed")


def _cut(
    data: bytes, starts: np.ndarray, ends: np.ndarray, records: Records, chunk_rows: int | None
) -> Iterator[Chunk]:
    """Cut consecutive records into chunks; ``offset`` is their place in ``data``."""
    is_row = np.ones(len(starts), dtype=bool)
    for number in np.flatnonzero(np.frombuffer(data, np.uint8)[starts] <= _SPACE).tolist():
        is_row[number] = not records.is_blank(data[starts[number] : ends[number]])
    rows = np.flatnonzero(is_row)
    step = chunk_rows or max(1, len(rows))
    for first in range(0, len(rows), step):
        chosen = rows[first : first + step]
        start = int(starts[chosen[0]])
        stop = int(ends[chosen[-1]])
        yield Chunk(first_row=first, rows=len(chosen), offset=start, data=data[start:stop])


def _lose(size: int, row: int, records: Records, max_bytes: int) -> LostRow:
    if records.long_problem is not None:
        raise UnreadableRestError(
            row, f"a record is longer than {max_bytes >> 20} MiB; {records.long_problem}"
        )
    return LostRow(row=row, problem=f"a line of {size:,} bytes is too long")
