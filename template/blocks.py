"""The element that travels through the pipeline: a block of rows.

A block is a DataFrame of at most ``batch_size`` rows: the column ``key``, then the data. An image
is a cell of column ``image``: a numpy array (H, W) or (H, W, C). The index holds the row numbers
in the file and ``attrs["source"]`` its path, so that a dead letter can tell where its row is from.
Moving blocks and never single rows is what makes the pipeline fast: Beam's cost is per element.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

KEY = "key"
_INTEGERS = "integers"
_LARGEST_EXACT = 2**53  # of the integers, as floats
MODEL_ID = "model_id"
"""The entry of a block of predictions' ``attrs`` that tells its model, by ``ModelFile.id``."""


class BlockCoder(beam.coders.Coder):
    """Pickles blocks, as Beam would, but tells their size without pickling them.

    Beam samples the size of elements all the time; an image block holds a thousand arrays.
    """

    def encode(self, value: pd.DataFrame) -> bytes:
        """Pickle a block."""
        return pickle.dumps(value, protocol=5)

    def decode(self, encoded: bytes) -> pd.DataFrame:
        """Unpickle a block."""
        block: pd.DataFrame = pickle.loads(encoded)  # noqa: S301  (Beam's own default for such elements)
        return block

    def estimate_size(self, value: pd.DataFrame) -> int:
        """Return the bytes of the data."""
        return block_bytes(value)

    def is_deterministic(self) -> bool:
        """Tell that a block is no key for grouping."""
        return False


beam.coders.registry.register_coder(pd.DataFrame, BlockCoder)


def row_keys(file_name: str, rows: Sequence[int]) -> list[str]:
    """Return ``<file name>#<row number>`` for each row number."""
    return [f"{file_name}#{row}" for row in rows]


def make_image_block(
    images: np.ndarray, *, keys: Sequence[str], rows: range, path: str
) -> pd.DataFrame:
    """Return images of one file as a block, without copying them."""
    columns = {KEY: np.array(keys, dtype=object), "image": image_cells(images)}
    block = pd.DataFrame(columns, index=pd.RangeIndex(rows.start, rows.stop), copy=False)
    block.attrs["source"] = path
    return block


def make_blocks(
    frame: pd.DataFrame, *, keys: Sequence[str], rows: Sequence[int], path: str, batch_size: int
) -> Iterator[pd.DataFrame]:
    """Cut the rows of one file into blocks; ``frame`` becomes theirs."""
    frame.insert(0, KEY, np.array(keys, dtype=object))
    frame.index = pd.Index(rows)
    frame.attrs["source"] = path
    for start in range(0, len(frame), batch_size):
        yield frame.iloc[start : start + batch_size]


def mark_integers(block: pd.DataFrame, columns: Sequence[str]) -> None:
    """Remember which columns are floats only because some rows have no integer in them."""
    block.attrs[_INTEGERS] = tuple(columns)


def take_rows(block: pd.DataFrame, start: int, stop: int) -> pd.DataFrame:
    """Return rows of a block with the types that they have without the others.

    A text among numbers makes objects of its column, a missing integer makes floats of it.
    """
    rows = block.iloc[start:stop].infer_objects()
    integers = [
        name
        for name in block.attrs.get(_INTEGERS, ())
        if name in rows and (rows[name].abs() <= _LARGEST_EXACT).all()  # which a gap is not
    ]
    return rows.astype(dict.fromkeys(integers, np.int64))


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
    cells = column.to_numpy()
    if infer_dtype(cells, skipna=False) in ("string", "bytes"):
        return sum(map(len, cells))
    try:
        return sum(map(attrgetter("nbytes"), cells))  # arrays, tensors
    except AttributeError:
        return sum(getattr(cell, "nbytes", sys.getsizeof(cell)) for cell in cells)
