"""CSV cells: which are numbers, which are missing, and the type of a column.

A cell is a number if ``pandas.read_csv`` reads it as one: ``00501`` is 501. In a column of numbers,
pandas' words for a missing value and cells of spaces are missing; in a column of texts only an
empty cell without quotes is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from template.sources.kinds import LARGEST_EXACT, Kind, find_integer_kind

TYPE_SAMPLE = 1000
"""The number of values of a column that decide its type."""
NUMBER, TEXT = "number", "text"
COLUMN_TYPES = (TEXT, NUMBER)
"""The types that ``column_types`` gives columns."""

_SHOWN_TEXT = 200
_MISSING_WORDS = frozenset(
    [
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    ]
)
"""As in pandas."""
_NUMBER = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|(?i:inf|infinity))$"
_INTEGER = re.compile(r"[+-]?[0-9]+")
_INFINITY = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_MOST_DIGITS = 4300  # of an integer that Python reads
_WHITE = " \t\n\r\v\f"
_WINDOW = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers:
    """A column of numbers, with cells that float64 cannot hold.

    Attributes:
        values: float64; NaN for a missing value, and in the places of ``cells``.
        cells: by row, the texts that are not numbers, and the integers that are not exact.
    """

    values: np.ndarray
    cells: Mapping[int, str | int]

    def find_kinds(self) -> np.ndarray:
        """Return the kind of each cell."""
        kinds = np.full(len(self.values), Kind.NUMBER, dtype=np.uint8)
        for row, cell in self.cells.items():
            kinds[row] = Kind.OBJECT if isinstance(cell, str) else find_integer_kind(cell)
        return kinds


def read_texts(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """Return bytes as texts, and the problems of rows without one."""
    try:
        return column.cast(pa.string()), {}
    except pa.ArrowInvalid:
        pass
    problems: dict[int, str] = {}
    texts: list[str | None] = []
    for row, field in enumerate(column.to_pylist()):
        try:
            texts.append(None if field is None else field.decode())
        except UnicodeDecodeError:
            texts.append(None)
            problems[row] = f"{field[:_SHOWN_TEXT]!r} is not UTF-8"
    return pa.chunked_array([pa.array(texts, pa.string())]), problems


def read_numbers(texts: pa.ChunkedArray) -> Numbers:
    """Return texts as numbers."""
    try:
        values = texts.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        trimmed = pc.ascii_trim_whitespace(texts)
        numbers = pc.if_else(pc.match_substring_regex(trimmed, _NUMBER), trimmed, None)
        values = numbers.cast(pa.float64()).to_numpy()
    # NaN fails the comparisons; 2**53 + 1 has already become 2**53.
    if len(values) and values.min() > -LARGEST_EXACT and values.max() < LARGEST_EXACT:
        return Numbers(values=values, cells={})
    # NaN may have been any word, and infinity any number with many digits.
    is_odd = ~(np.abs(values) < LARGEST_EXACT)
    rows = np.flatnonzero(is_odd & texts.is_valid().to_numpy())
    cells = {}
    for row, text in zip(rows.tolist(), texts.take(pa.array(rows)).to_pylist(), strict=True):
        cell = _find_misfit(text, values[row])
        if cell is not None:
            cells[row] = cell
    if cells:
        values = values.copy()
        values[list(cells)] = np.nan
    return Numbers(values=values, cells=cells)


def _find_misfit(text: str, value: float) -> str | int | None:
    """Return the kind of a cell whose ``value`` is NaN, infinite, or 2**53 or more."""
    word = text.strip(_WHITE)
    if np.isnan(value):
        return None if word in _MISSING_WORDS else text
    if _INTEGER.fullmatch(word):
        if len(word) > _MOST_DIGITS:
            return text
        number = int(word)
        return None if -LARGEST_EXACT <= number <= LARGEST_EXACT else number
    return text if np.isinf(value) and not _INFINITY.fullmatch(word) else None


def is_missing_word(text: str) -> bool:
    """Return whether a text stands for a missing number."""
    return text.strip(_WHITE) in _MISSING_WORDS


class TypeSample:
    """Finds the types of columns from the first values of each.

    Args:
        names: the columns.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._values = dict.fromkeys(names, 0)
        self._numbers = dict.fromkeys(names, 0)

    @property
    def wanted(self) -> list[str]:
        """The columns that need more values."""
        return [name for name, count in self._values.items() if count < TYPE_SAMPLE]

    def add(self, name: str, column: pa.ChunkedArray) -> None:
        """Count further cells of a column, as bytes."""
        present = column.drop_null()
        for start in range(0, len(present), _WINDOW):
            missing = TYPE_SAMPLE - self._values[name]
            if missing <= 0:
                return
            values, numbers = _count_numbers(present[start : start + _WINDOW], missing)
            self._values[name] += values
            self._numbers[name] += numbers

    def find_numeric(self) -> frozenset[str]:
        """Return the columns without values or mostly with numbers."""
        return frozenset(
            name
            for name, count in self._values.items()
            if self._numbers[name] * 2 > count or not count
        )


def _count_numbers(column: pa.ChunkedArray, most: int) -> tuple[int, int]:
    """Return the number of the first ``most`` values, and how many of them are numbers."""
    texts, _ = read_texts(column)
    first = texts[:most]
    try:
        if not np.isnan(first.cast(pa.float64()).to_numpy()).any():
            return len(first), len(first)
    except pa.ArrowInvalid:
        pass
    trimmed = pc.ascii_trim_whitespace(texts.drop_null())
    is_missing = pc.is_in(trimmed, pa.array(sorted(_MISSING_WORDS)))
    values = trimmed.filter(pc.invert(is_missing))[:most]
    numbers = pc.sum(pc.match_substring_regex(values, _NUMBER)).as_py() or 0
    return len(values), numbers
