"""Formats of input files, and which one a file has by its name."""

from __future__ import annotations

import fnmatch
from enum import StrEnum


class Format(StrEnum):
    """The values of ``--input_format`` other than ``auto``."""

    IDX = "idx"
    IMAGES = "images"
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


_NAMES = {
    Format.IDX: ("*-idx?-ubyte", "*-idx?-ubyte.gz", "*.idx?-ubyte", "*.idx?-ubyte.gz"),
    Format.IMAGES: ("*.png", "*.jpg", "*.jpeg"),
    Format.CSV: ("*.csv", "*.csv.gz"),
    Format.JSONL: ("*.jsonl", "*.jsonl.gz", "*.ndjson", "*.ndjson.gz"),
    Format.PARQUET: ("*.parquet",),
}


def find_format(path: str) -> Format | None:
    """Return the format that a file's name tells, or None."""
    for format_, names in _NAMES.items():
        if any(fnmatch.fnmatchcase(path.lower(), name) for name in names):
            return format_
    return None
