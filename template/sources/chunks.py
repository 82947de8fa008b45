"""Text files as chunks of whole records, read once and line by line.

A chunk knows its first row and its place in the file, so that plain files can be split into
chunks that many workers read. Blank lines are no rows. A record of CSV may hold newlines inside
quotes; whether a line ends a record is decided by the rules that the csv module applies, so that
a stray quote within a field means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Self

from template.dead_letters import DeadLetter, describe
from template.file_versions import FileVersion
from template.sources.splits import SplitId
from template.sources.streams import DAMAGE, UnreadableError, open_stored

CHUNK_BYTES = 8 << 20
MAX_RECORD_BYTES = 64 << 20
BLANK_LINES = (b"\n", b"\r\n")
# Fields up to the end of the line: quoted (and what may follow the quotes) or not. Possessive, so
# that a line is read once. It does not match a line that ends inside quotes.
_FIELD = rb'(?:"[^"]*+(?:""[^"]*+)*+"[^,]*+|[^",][^,]*+)?+'
_COMPLETE = re.compile(rb"%s(?:,%s)*+" % (_FIELD, _FIELD))


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


def read_records(stream: BinaryIO, *, quotes: bool) -> Iterator[bytes]:
    """Yield records with their line ends; blank lines as they are.

    Args:
        stream: where to read.
        quotes: whether newlines inside quotes belong to the record, as in CSV.
    """
    lines: list[bytes] = []
    size = 0
    while True:
        try:
            line = stream.readline(MAX_RECORD_BYTES)
        except DAMAGE as error:
            raise BrokenRecordError(f"the file is damaged: {error}") from error
        if not line:
            break
        size += len(line)
        if size >= MAX_RECORD_BYTES:
            raise BrokenRecordError(
                f"a record is longer than {MAX_RECORD_BYTES >> 20} MiB"
                f"{'; is a quote not closed?' if quotes else ''}"
            )
        if quotes and _ends_inside_quotes(line, starts_inside=bool(lines)):
            lines.append(line)
            continue
        yield b"".join([*lines, line]) if lines else line
        lines.clear()
        size = 0
    if lines:
        raise BrokenRecordError("a quoted field is not closed")


def read_chunks(
    records: Iterator[bytes], *, offset: int = 0, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Chunk]:
    """Gather records into chunks of about ``chunk_bytes``.

    Raises:
        UnreadableRestError: after all chunks that can be read.
    """
    first_row = 0
    while True:
        parts: list[bytes] = []
        size = rows = 0
        broken = None
        try:
            for record in records:
                parts.append(record)
                size += len(record)
                rows += record not in BLANK_LINES
                if size >= chunk_bytes:
                    break
        except BrokenRecordError as error:
            broken = error
        if rows:
            yield Chunk(first_row=first_row, rows=rows, offset=offset, data=b"".join(parts))
        first_row += rows
        offset += size
        if broken is not None:
            raise UnreadableRestError(first_row, str(broken)) from broken
        if not parts:
            return


def _ends_inside_quotes(line: bytes, *, starts_inside: bool) -> bool:
    if b'"' not in line:
        return starts_inside
    return not _COMPLETE.fullmatch(b'"' + line if starts_inside else line)
