"""The predictions and dead letters that a page shows, read from bytes without any calls."""

from __future__ import annotations

import csv
import io
import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_ROWS = 50
_MOST_COLUMNS = 40
_LONGEST_CELL = 300
_THUMBNAIL = 112
_LARGEST_UNPACKED_BYTES = 256 << 20
_IDX_HEADER_BYTES = 20
_MAGIC = {b"\x00\x00\x08\x03": 1, b"\x00\x00\x08\x04": 3}


class UnreadableError(ValueError):
    """A file cannot be shown; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of predictions as text, with their columns' names."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def find_column(self, name: str) -> int | None:
        return self.columns.index(name) if name in self.columns else None


@dataclass(frozen=True, kw_only=True)
class Reason:
    """The number of dead letters with one reason, and an example."""

    reason: str
    count: int
    example: Mapping[str, str]


def read_table(path: str, content: bytes, *, is_cut: bool) -> Table:
    """Return the first rows of a file of predictions.

    Args:
        is_cut: whether the content is only the beginning of the file.

    Raises:
        UnreadableError: it cannot be read.
    """
    if path.endswith(".parquet"):
        return _read_parquet(content, is_cut=is_cut)
    text = content.decode(errors="replace")
    if is_cut:
        text = text[: text.rfind("\n") + 1]
    if path.endswith(".csv"):
        lines = list(_take(csv.reader(io.StringIO(text)), MOST_ROWS + 1))
        if not lines:
            return Table(columns=(), rows=())
        return Table(
            columns=tuple(lines[0][:_MOST_COLUMNS]),
            rows=tuple(tuple(map(_shorten, line[:_MOST_COLUMNS])) for line in lines[1:]),
        )
    try:
        return _to_table([json.loads(line) for line in _take(iter(text.splitlines()), MOST_ROWS)])
    except ValueError as error:
        raise UnreadableError(f"{path}: not JSON Lines: {error}") from error


def group_dead_letters(content: bytes, counted: Sequence[tuple[str, int]] = ()) -> list[Reason]:
    """Return dead letters grouped by reason, the most frequent first, each with an example.

    Args:
        content: lines of JSON, the last of which may be incomplete.
        counted: reasons and their numbers in the whole run, if the run's record has them.
    """
    examples: dict[str, Mapping[str, str]] = {}
    numbers: dict[str, int] = {}
    for line in content.decode(errors="replace").splitlines():
        try:
            letter = json.loads(line)
            reason = str(letter["error"])
        except (ValueError, KeyError, TypeError):
            continue
        example = {
            str(name): _shorten(_to_text(value))
            for name, value in letter.items()
            if name != "error"
        }
        examples.setdefault(reason, example)
        numbers[reason] = numbers.get(reason, 0) + 1
    found = dict(counted) or numbers
    return [
        Reason(reason=reason, count=number, example=examples.get(reason, {}))
        for reason, number in sorted(found.items(), key=lambda each: -each[1])
    ]


def draw_idx_image(content: bytes, number: int) -> bytes:
    """Return one image of an IDX file, gzipped or not, as PNG.

    Raises:
        UnreadableError: the file has no such image.
    """
    if content[:2] == b"\x1f\x8b":
        content = gunzip(content)
    channels = _MAGIC.get(content[:4])
    if channels is None or len(content) < _IDX_HEADER_BYTES:
        raise UnreadableError("not an IDX file of images")
    height, width = struct.unpack(">II", content[8:16])
    start = 16 if channels == 1 else 20
    size = height * width * channels
    pixels = content[start + number * size : start + (number + 1) * size]
    if not size or len(pixels) < size:
        raise UnreadableError("the part of the file that was read has no such image")
    from PIL import Image

    image = Image.frombytes("L" if channels == 1 else "RGB", (width, height), pixels)
    factor = max(1, _THUMBNAIL // max(width, height))
    return _to_png(image.resize((width * factor, height * factor), Image.Resampling.NEAREST))


def draw_thumbnail(content: bytes) -> bytes:
    """Return a small PNG of an image file.

    Raises:
        UnreadableError: it is not an image.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.thumbnail((2 * _THUMBNAIL, 2 * _THUMBNAIL))
            return _to_png(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableError(f"not an image: {error}") from error


def gunzip(content: bytes) -> bytes:
    """Return as much of a gzipped file, or of its beginning, as can be unpacked."""
    try:
        return zlib.decompressobj(wbits=31).decompress(content, _LARGEST_UNPACKED_BYTES)
    except zlib.error as error:
        raise UnreadableError(f"it cannot be unpacked: {error}") from error


def _read_parquet(content: bytes, *, is_cut: bool) -> Table:
    if is_cut:
        raise UnreadableError("the Parquet file is too large to be shown here")
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UnreadableError("pyarrow, which reads Parquet, is not installed") from error
    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
        batch = next(file.iter_batches(MOST_ROWS), None)
        return _to_table([] if batch is None else batch.to_pylist())
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UnreadableError(f"the Parquet file cannot be read: {error}") from error


def _to_table(rows: Sequence[Any]) -> Table:
    objects = [row if isinstance(row, Mapping) else {"value": row} for row in rows]
    columns = list(dict.fromkeys(str(name) for row in objects for name in row))[:_MOST_COLUMNS]
    return Table(
        columns=tuple(columns),
        rows=tuple(tuple(_shorten(_to_text(row.get(name))) for name in columns) for row in objects),
    )


def _to_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str | int):
        return str(value)
    return json.dumps(value, default=str, ensure_ascii=False)


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}…"


def _take(items: Iterator[Any], count: int) -> Iterator[Any]:
    for _, item in zip(range(count), items, strict=False):
        yield item


def _to_png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
