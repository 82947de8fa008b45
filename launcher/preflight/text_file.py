"""Reads text files in the encodings that editors and shells of all systems write."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import InputError

# The longer marks come first, because the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Text:
    """A file's text, and the encoding that it was read in, for example ``utf-8``."""

    content: str
    encoding: str

    @property
    def is_utf8(self) -> bool:
        """Whether it is UTF-8, with or without a byte order mark."""
        return self.encoding in ("utf-8", "utf-8-sig")


def read_text(path: Path, flag: str) -> Text:
    """Read a file in any encoding: by its byte order mark, else UTF-8, else Latin-1.

    Args:
        flag: the flag that names the file, for messages.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return decode(path.read_bytes())
    except OSError as problem:
        raise InputError(f"{flag} {path}: {problem.strerror}") from problem


def decode(content: bytes) -> Text:
    """Return the text of a file's bytes."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return Text(content.decode(encoding, errors="replace"), encoding)
    try:
        return Text(content.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        return Text(content.decode("latin-1"), "latin-1")
