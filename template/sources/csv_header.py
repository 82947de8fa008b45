"""The beginning of a CSV file: its delimiter and the names of its columns.

Names follow ``pandas.read_csv``: a repeated ``a`` becomes ``a.1``, an empty name ``Unnamed: 0``.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Collection, Sequence

from template.sources.chunks import BOM
from template.sources.records import BrokenRecordError, is_blank_record, split_records
from template.sources.streams import UnreadableError

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""The values of ``csv_delimiter``, other than ``auto``."""

_SEPARATOR_LINE = re.compile(rb'"?sep=([^"\r\n])"?\r?\n', re.IGNORECASE)
_COMPARED_RECORDS = 100


def find_separator_line(head: bytes) -> tuple[int, str | None]:
    """Return the size of Excel's line ``sep=;``, 0 if there is none, and its delimiter.

    Raises:
        UnreadableError: the delimiter is not ASCII.
    """
    line = _SEPARATOR_LINE.match(head.removeprefix(BOM))
    if line and not line[1].isascii():
        raise UnreadableError(f"its first line is {line[0].strip()!r}: name a delimiter in ASCII")
    return (len(line[0]), line[1].decode("latin-1")) if line else (0, None)


def find_delimiter(head: bytes) -> str:
    """Return the delimiter of a file's first records.

    It is the one with which most records have as many fields as the header; with a tie, the one
    that gives more fields.
    """
    candidates = {}
    for delimiter in DELIMITERS.values():
        counts = _count_fields(head, delimiter)
        if counts and (counts[0] > 1 or delimiter == ","):
            alike = sum(count == counts[0] for count in counts[1:])
            candidates[delimiter] = (alike / max(1, len(counts) - 1), counts[0])
    return max(candidates, key=lambda each: candidates[each], default=",")


def _count_fields(head: bytes, delimiter: str) -> list[int]:
    """Return the numbers of fields in the first records, without the last, incomplete one."""
    records = itertools.islice(split_records(head, delimiter=delimiter.encode()), _COMPARED_RECORDS)
    counts: list[int] = []
    try:
        for record in records:
            if not is_blank_record(record) and (record.endswith(b"\n") or not counts):
                fields = next(csv.reader([record.decode("latin-1")], delimiter=delimiter))
                counts.append(len(fields))
    except (BrokenRecordError, csv.Error):
        pass
    return counts


def parse_header(header: bytes, delimiter: str, declared: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names in a header record.

    Args:
        declared: the columns that the model declares, none of which may appear twice.

    Raises:
        UnreadableError: it is not a header, or has a declared column twice.
    """
    try:
        text = header.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"its header line is not UTF-8: {error}") from error
    try:
        names = next(csv.reader([text], delimiter=delimiter))
    except csv.Error as error:
        if "new-line character" in str(error):
            raise UnreadableError(
                "its lines end in carriage returns only: save it with newlines"
            ) from error
        raise UnreadableError(f"its header line cannot be read: {error}") from error
    for name in declared:
        if names.count(name) > 1:
            raise UnreadableError(f"it has several columns {name!r}: rename all but one")
    return tuple(_make_unique(names))


def _make_unique(given: Sequence[str]) -> list[str]:
    names = [name or f"Unnamed: {position}" for position, name in enumerate(given)]
    taken = set(names)
    counts: Counter[str] = Counter()
    for position in sorted(range(len(names)), key=lambda each: not given[each]):
        name = names[position]
        while counts[name] and names[position] in taken:
            names[position] = f"{name}.{counts[name]}"
            counts[name] += 1
        taken.add(names[position])
        counts[names[position]] += 1
    return names
