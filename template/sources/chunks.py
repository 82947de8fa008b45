"""Text files as chunks of whole records, read once and line by line.

A chunk knows its first row and its place in the file, so that plain files can be split into
chunks that many workers read. Blank lines are not rows; of JSON Lines, neither are lines of white
space. A record of CSV may hold newlines inside quotes; whether a line ends a record is decided by
the rules that the csv module applies, so that a stray quote within a field means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO, Self

from template.dead_letters import DeadLetter, describe
from template.file_versions import FileVersion
from template.sources.splits import SplitId
from template.sources.streams import DAMAGE, UnreadableError, open_stored, read_up_to

BOM = b"\xef\xbb\xbf"
CHUNK_BYTES = 8 << 20
MAX_RECORD_BYTES = 64 << 20
_HEAD_BYTES = 64 << 10
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
    """A chunk of a plain file that is read later, perhaps elsewhere."""

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
        """Which part of which file it is."""
        span = f"bytes {self.offset}-{self.offset + self.size - 1}"
        return SplitId(path=self.path, generation=self.generation, range=span)

    @property
    def source(self) -> str:
        """What the split holds, for dead letters."""
        return f"{self.path} rows {self.first_row}-{self.first_row + self.rows - 1}"

    def read_chunk(self) -> Chunk:
        """Read the chunk from the file."""
        with open_stored(self.path) as stream:
            stream.seek(self.offset)
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


class BrokenRecordError(Exception):
    """The next record cannot be read."""


@dataclass(frozen=True, kw_only=True)
class LongLine:
    """A line that is not read, because of its ``size`` in bytes."""

    size: int


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
    """Return the first bytes of a text file, and how many of them are a byte order mark.

    The next read begins behind the mark.

    Raises:
        UnreadableError: it is not text, or not in UTF-8.
    """
    head = bytes(read_up_to(stream, _HEAD_BYTES)[0])
    for magic, problem in _NOT_TEXT.items():
        if head.startswith(magic):
            raise UnreadableError(f"not a text file in UTF-8, but {problem}")
    if b"\x00" in head[:2]:
        raise UnreadableError("not a text file in UTF-8, but encoded in UTF-16: save it as UTF-8")
    start = len(BOM) if head.startswith(BOM) else 0
    stream.seek(start)
    return head, start


def read_records(
    stream: BinaryIO, *, delimiter: bytes, max_bytes: int = MAX_RECORD_BYTES
) -> Iterator[bytes]:
    """Yield records of CSV with their line ends, which may be inside quotes; blank lines as well.

    Raises:
        BrokenRecordError: a record is not closed, or is too long: the end of it is not known.
    """
    complete = _complete_record(delimiter)
    lines: list[bytes] = []
    size = 0
    while True:
        line = _read_line(stream, max_bytes)
        if not line:
            break
        size += len(line)
        if size >= max_bytes:
            raise BrokenRecordError(
                f"a record is longer than {max_bytes >> 20} MiB; is a quote not closed?"
            )
        if b'"' not in line:
            is_open = bool(lines)
        else:
            is_open = not complete.fullmatch(b'"' + line if lines else line)
        if is_open:
            lines.append(line)
            continue
        yield b"".join([*lines, line]) if lines else line
        lines.clear()
        size = 0
    if lines:
        raise BrokenRecordError("a quoted field is not closed")


def read_lines(
    stream: BinaryIO, *, max_bytes: int = MAX_RECORD_BYTES
) -> Iterator[bytes | LongLine]:
    """Yield lines with their ends.

    Raises:
        BrokenRecordError: the file is damaged.
    """
    while line := _read_line(stream, max_bytes):
        if len(line) < max_bytes or line.endswith(b"\n"):
            yield line
            continue
        size = len(line)
        while line and not line.endswith(b"\n"):
            line = _read_line(stream, max_bytes)
            size += len(line)
        yield LongLine(size=size)


def is_blank_record(record: bytes) -> bool:
    """Say whether CSV has no row there: a line of spaces is one."""
    return record in (b"\n", b"\r\n")


def read_chunks(
    records: Iterator[bytes | LongLine],
    *,
    is_blank: Callable[[bytes], bool],
    offset: int = 0,
    chunk_bytes: int = CHUNK_BYTES,
    chunk_rows: int | None = None,
) -> Iterator[Chunk | LostRow]:
    """Gather records into chunks of about ``chunk_bytes``, and of ``chunk_rows`` at most.

    Raises:
        UnreadableRestError: after all chunks that can be read.
    """
    first_row = 0
    while True:
        parts: list[bytes] = []
        size = rows = 0
        broken = lost = None
        try:
            for record in records:
                if isinstance(record, LongLine):
                    lost = record
                    break
                parts.append(record)
                size += len(record)
                rows += not is_blank(record)
                if size >= chunk_bytes or rows == chunk_rows:
                    break
        except BrokenRecordError as error:
            broken = error
        if rows:
            yield Chunk(first_row=first_row, rows=rows, offset=offset, data=b"".join(parts))
        first_row += rows
        offset += size
        if broken is not None:
            raise UnreadableRestError(first_row, str(broken)) from broken
        if lost is not None:
            yield LostRow(row=first_row, problem=f"a line of {lost.size:,} bytes is too long")
            first_row += 1
            offset += lost.size
        elif not parts:
            return


def _read_line(stream: BinaryIO, max_bytes: int) -> bytes:
    try:
        return stream.readline(max_bytes)
    except DAMAGE as error:
        raise BrokenRecordError(f"the file is damaged: {error}") from error


@cache
def _complete_record(delimiter: bytes) -> re.Pattern[bytes]:
    """Return what matches a line unless it ends inside quotes.

    Fields are quoted, with what may follow the quotes, or plain. Possessive, so that a line is read
    once.
    """
    other = rb"[^%b]" % re.escape(delimiter)
    field = rb'(?:"[^"]*+(?:""[^"]*+)*+"%b*+|(?!")%b++)?+' % (other, other)
    return re.compile(rb"%b(?:%b%b)*+" % (field, re.escape(delimiter), field))
