"""The element that travels through the pipeline: a block of rows.

A block is a DataFrame of at most ``batch_size`` rows: the column ``key``, then the data. An image
is a cell of column ``image``: a numpy array (H, W) or (H, W, C). The index holds the row numbers
in the file and ``attrs["source"]`` its path, so that a dead letter can tell where its row is from.
Moving blocks and never single rows is what makes the pipeline fast: Beam's cost is per element.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from apache_beam.io.filesystems import FileSystems

KEY = "key"


def row_keys(path: str, rows: Sequence[int]) -> list[str]:
    """Return ``<file name>#<row number>`` for each row number."""
    name = FileSystems.split(path)[1]
    return [f"{name}#{row}" for row in rows]


def make_blocks(
    frame: pd.DataFrame, *, keys: Sequence[str], rows: Sequence[int], path: str, batch_size: int
) -> Iterator[pd.DataFrame]:
    """Cut the rows of one file into blocks; ``frame`` becomes theirs."""
    frame.insert(0, KEY, keys)
    frame.index = pd.Index(rows)
    frame.attrs["source"] = path
    for start in range(0, len(frame), batch_size):
        yield frame.iloc[start : start + batch_size]


def image_cells(images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Return one object cell for each image; cells of an array are views into it."""
    cells = np.empty(len(images), dtype=object)
    for position, image in enumerate(images):
        cells[position] = image
    return cells


def row_source(block: pd.DataFrame, position: int, key: str) -> str:
    """Return where the row at ``position`` is from; its key where the block does not tell."""
    source = block.attrs.get("source")
    return key if source is None else f"{source} row {block.index[position]}"


def block_bytes(block: pd.DataFrame) -> int:
    """Return the bytes of the data in a block, without encoding it."""
    return sum(_column_bytes(column) for _, column in block.items())


def _column_bytes(column: pd.Series[Any]) -> int:
    if column.dtype != object:
        return int(column.nbytes)
    return sum(map(_cell_bytes, column.to_numpy()))


def _cell_bytes(cell: Any) -> int:
    nbytes = getattr(cell, "nbytes", None)
    if nbytes is not None:
        return int(nbytes)
    return len(cell) if isinstance(cell, str | bytes) else sys.getsizeof(cell)


def key_text(value: Any) -> str | None:
    """Return a key as text, or None for a missing one."""
    return None if value is None or value != value or value == "" else str(value)
