"""Finds where the records of a text end: lines in JSON Lines, records in CSV.

A CSV record may hold newlines inside quotes; whether a line ends a record is decided by the
rules that the csv module applies, so a stray quote within a field has no effect.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np

_NEWLINE = ord("\n")
_QUOTE = ord('"')


class BrokenRecordError(Exception):
    """The next record cannot be read."""


class Records(Protocol):
    """How to split a text into records."""

    @property
    def long_problem(self) -> str | None:
        """Why reading ends at a record that is too long; None if only that record is lost."""

    def find_ends(self, data: bytes) -> np.ndarray:
        """Return the offsets after the newlines that end records; ``data`` begins with a record."""

    def is_blank(self, record: bytes) -> bool:
        """Return whether a record that begins with white space is not a row."""


class Lines:
    """Each line is a record; lines of white space are not rows."""

    long_problem = None

    def find_ends(self, data: bytes) -> np.ndarray:
        """Return the offsets after all newlines."""
        return _find_newlines(data)

    def is_blank(self, record: bytes) -> bool:
        """Return whether there is only white space."""
        return record.isspace()


@dataclass(frozen=True)
class CsvRecords:
    """CSV records; a line of spaces is a row."""

    delimiter: bytes
    long_problem = "is a quote not closed?"

    def find_ends(self, data: bytes) -> np.ndarray:
        """Return the offsets after the newlines that are not inside quotes."""
        if b'"' not in data:
            return _find_newlines(data)
        characters = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(characters == _QUOTE)
        if self._alternate(characters, quotes):
            ends = _find_newlines(data)
            outside: np.ndarray = ends[np.searchsorted(quotes, ends) % 2 == 0]
            return outside
        sizes = [len(record) for record in self._complete_records(data) if record.endswith(b"\n")]
        return np.cumsum(sizes, dtype=np.int64)

    def is_blank(self, record: bytes) -> bool:
        """Return whether the line is empty."""
        return is_blank_record(record)

    def _alternate(self, characters: np.ndarray, quotes: np.ndarray) -> bool:
        """Return whether every other quote opens a field, or repeats the quote before it."""
        opening = quotes[::2]
        before = characters[np.maximum(opening, 1) - 1]
        opens = (before == ord(self.delimiter)) | (before == _NEWLINE) | (before == _QUOTE)
        return bool((opens | (opening == 0)).all())

    def _complete_records(self, data: bytes) -> Iterator[bytes]:
        try:
            yield from split_records(data, delimiter=self.delimiter)
        except BrokenRecordError:
            return


def split_records(data: bytes, *, delimiter: bytes) -> Iterator[bytes]:
    """Yield CSV records with their line ends, line by line; blank lines as well.

    Raises:
        BrokenRecordError: the last one is not closed.
    """
    complete = _complete_record(delimiter)
    lines: list[bytes] = []
    for line in io.BytesIO(data):
        if b'"' not in line:
            is_open = bool(lines)
        else:
            is_open = not complete.fullmatch(b'"' + line if lines else line)
        if is_open:
            lines.append(line)
            continue
        yield b"".join([*lines, line]) if lines else line
        lines.clear()
    if lines:
        raise BrokenRecordError("a quoted field is not closed")


def is_blank_record(record: bytes) -> bool:
    """Return whether the line is not a CSV row; a line of spaces is a row."""
    return record in (b"\n", b"\r\n")


def _find_newlines(data: bytes) -> np.ndarray:
    return np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE) + 1


@cache
def _complete_record(delimiter: bytes) -> re.Pattern[bytes]:
    """Return a pattern that matches a line unless it ends inside quotes.

    Fields are quoted, with what may follow the quotes, or plain. Possessive quantifiers, so that a
    line is read once.
    """
    other = rb"[^%b]" % re.escape(delimiter)
    field = rb'(?:"[^"]*+(?:""[^"]*+)*+"%b*+|(?!")%b++)?+' % (other, other)
    return re.compile(rb"%b(?:%b%b)*+" % (field, re.escape(delimiter), field))
