"""Formats of input files, and the format that a file's name implies."""

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
    Format.IDX: ("*-idx?-ubyte", "*.idx?-ubyte"),
    Format.IMAGES: ("*.png", "*.jpg", "*.jpeg", "*.webp", "*.bmp", "*.gif", "*.tif", "*.tiff"),
    Format.CSV: ("*.csv",),
    Format.JSONL: ("*.jsonl", "*.ndjson"),
    Format.PARQUET: ("*.parquet",),
}


def find_format(path: str) -> Format | None:
    """Return the format that a file's name implies, with or without ``.gz``, or None."""
    name = path.lower().removesuffix(".gz")
    for format_, names in _NAMES.items():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in names):
            return format_
    return None
