"""Yields the entries of a listing in order, without reading the objects below a common prefix."""

import sqlite3
from collections.abc import Iterator

from launcher.emulator.storage.records import ListQuery

_LAST_LETTER = "\U0010ffff"
_SURROGATES, _FIRST_AFTER_SURROGATES = 0xD800, 0xE000


def find_entries(
    db: sqlite3.Connection, bucket: str, query: ListQuery
) -> Iterator[tuple[sqlite3.Row, str | None]]:
    """Yield the objects of a listing in order of name; for a common prefix only the first."""
    start: str | None = max(query.prefix, query.start_offset, query.after or "")
    while start is not None:
        found = db.execute(
            "SELECT * FROM objects WHERE bucket = ? AND name >= ? ORDER BY name", (bucket, start)
        )
        start = None
        for row in found:
            name = row["name"]
            if not name.startswith(query.prefix) or (query.end_offset and name >= query.end_offset):
                return
            prefix = _common_prefix(name, query)
            yield row, prefix
            if prefix is not None:
                start = _behind(prefix)  # Skip everything below it.
                break


def _behind(prefix: str) -> str | None:
    """Return the first text after all those with ``prefix``; None if there is none."""
    while prefix and prefix[-1] == _LAST_LETTER:
        prefix = prefix[:-1]
    if not prefix:
        return None
    following = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(_FIRST_AFTER_SURROGATES if following == _SURROGATES else following)


def _common_prefix(name: str, query: ListQuery) -> str | None:
    """Return the part of a name up to the delimiter's first occurrence."""
    if not query.delimiter:
        return None
    at = name.find(query.delimiter, len(query.prefix))
    return None if at < 0 else name[: at + len(query.delimiter)]
