"""The element that travels through the pipeline: a block of rows.

A block is a DataFrame of at most ``batch_size`` rows, which ``predict`` gets, and the columns
beside it, which it does not get: the keys and the columns that are only written. An image is a cell
of column ``image``: a numpy array (H, W) or (H, W, C). Moving blocks instead of single rows makes
the pipeline fast: Beam's cost is per element.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray

KEY = "key"
IMAGE = "image"
"""The column that holds images, each cell an array (H, W) or (H, W, C)."""
MAX_BLOCK_BYTES = 64 << 20
"""The bytes of decoded images at which a block is complete, whatever ``batch_size`` is."""
_LARGEST_EXACT = 2**53  # of the integers, as floats
_WEIGHED_CELLS = 512
SOURCE = "source"
"""The entry of ``attrs`` that names the file of all rows, if they share one.

It is None if each entry of the index says where its row is from.
"""
SPLIT = "split"
"""The entry of ``attrs`` that is the ``SplitOrigin`` of a block read from files."""
MODEL_ID = "model_id"
"""The entry of a block of predictions' ``attrs`` that names its model, by ``ModelFile.id``."""

Cells = np.ndarray | ExtensionArray
"""A column that travels beside a frame."""


class SplitOrigin(NamedTuple):
    """The split that a block was read from, and whether the job has no other."""

    id: Hashable
    is_only: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Some rows of the input.

    Attributes:
        frame: the DataFrame for ``predict``: only the input's columns, rows counted from 0.
        beside: the columns that are written beside the prediction, the key first.
        index: each row's place: its number in the file, its position among the messages, or both
            file and number, see ``SOURCE``.
        attrs: facts about all rows, kept with their predictions; see ``SOURCE``.
        integers: the columns that are floats only because some rows lack an integer.
        origin: restores the columns as they were read, since ``predict`` may change arrays and
            lists in the frame's cells. Without it, ``predict`` gets copies of them. For a block
            that has one, ``beside`` must not share such cells with the frame.
        misfits: for each row, the texts in columns of numbers, by column; empty if no row has any.
            They may be the reason why ``predict`` fails.
        is_typed: whether the columns have the types that the model declares, whatever their values.
    """

    frame: pd.DataFrame
    beside: Mapping[str, Cells]
    index: pd.Index
    attrs: Mapping[Any, Any] = field(default_factory=dict)
    integers: tuple[str, ...] = ()
    origin: Callable[[], Mapping[str, Any] | pd.DataFrame] | None = None
    misfits: Sequence[Mapping[str, str]] = ()
    is_typed: bool = False

    @classmethod
    def of_frame(cls, frame: pd.DataFrame, key_columns: Sequence[str]) -> Block:
        """Return a DataFrame of a user's own pipeline as a block; it keeps its key columns.

        Raises:
            KeyError: it lacks one of them.
        """
        beside = {column: frame[column].to_numpy() for column in key_columns}
        rows = frame.copy(deep=False)
        rows.index = pd.RangeIndex(len(rows))
        return cls(frame=rows, beside=beside, index=frame.index, attrs=frame.attrs)

    def __len__(self) -> int:
        return len(self.index)

    def take(self, start: int, stop: int) -> Block:
        """Return some of the rows, with the types that these rows have on their own.

        A text among numbers turns its column into objects, and a missing integer turns it into
        floats.
        """
        rows = self.frame.iloc[start:stop]
        if not self.is_typed:
            with suppress(OverflowError):  # an integer of more than 308 digits
                rows = rows.infer_objects()
        rows.index = pd.RangeIndex(len(rows))
        integers = [
            name
            for name in self.integers
            if name in rows and (rows[name].abs() <= _LARGEST_EXACT).all()  # which a gap is not
        ]
        return Block(
            frame=rows.astype(dict.fromkeys(integers, np.int64)),
            beside={name: cells[start:stop] for name, cells in self.beside.items()},
            index=self.index[start:stop],
            attrs=self.attrs,
            integers=self.integers,
            misfits=self.misfits[start:stop],
            is_typed=self.is_typed,
        )


class _PickleCoder(beam.coders.Coder):
    """Pickles like Beam, but finds the data's size without pickling.

    Beam constantly samples the size of elements, and an image block holds a thousand arrays.
    """

    def encode(self, value: Any) -> bytes:
        """Pickle an element."""
        return pickle.dumps(value, protocol=5)

    def decode(self, encoded: bytes) -> Any:
        """Unpickle an element."""
        return pickle.loads(encoded)  # noqa: S301  (Beam's own default for such elements)

    def is_deterministic(self) -> bool:
        """Return False: blocks cannot be grouping keys."""
        return False


class BlockCoder(_PickleCoder):
    """The coder of blocks: the pickled block becomes its origin."""

    def encode(self, value: Block) -> bytes:
        """Pickle a block without its origin."""
        return super().encode(replace(value, origin=None))

    def decode(self, encoded: bytes) -> Block:
        """Unpickle a block."""
        block: Block = super().decode(encoded)
        return replace(block, origin=_PickledBlock(encoded))

    def estimate_size(self, value: Block) -> int:
        """Return the bytes of the frame's data."""
        return frame_bytes(value.frame)


@dataclass(frozen=True)
class _PickledBlock:
    encoded: bytes

    def __call__(self) -> pd.DataFrame:
        block: Block = pickle.loads(self.encoded)  # noqa: S301  (it has been unpickled before)
        return block.frame


class FrameCoder(_PickleCoder):
    """The coder of DataFrames: predictions, and the inputs of users' own pipelines."""

    def estimate_size(self, value: pd.DataFrame) -> int:
        """Return the bytes of the data."""
        return frame_bytes(value)


beam.coders.registry.register_coder(Block, BlockCoder)
beam.coders.registry.register_coder(pd.DataFrame, FrameCoder)


def row_keys(file_name: str, rows: Sequence[int]) -> np.ndarray:
    """Return ``<file name>#<row number>`` for each row number."""
    return np.array([f"{file_name}#{row}" for row in rows], dtype=object)


def image_frame(images: Sequence[np.ndarray] | np.ndarray) -> pd.DataFrame:
    """Return a frame of images, which are not copied."""
    return pd.DataFrame({IMAGE: object_cells(images)}, copy=False)


def make_blocks(
    frame: pd.DataFrame,
    *,
    beside: Mapping[str, Cells],
    rows: Sequence[int] | np.ndarray,
    path: str,
    batch_size: int,
    integers: Sequence[str] = (),
    misfits: Sequence[Mapping[str, str]] = (),
    is_typed: bool = False,
) -> Iterator[Block]:
    """Cut the rows of one file into blocks, which share the memory of ``frame``."""
    index = pd.Index(rows)
    for start in range(0, len(index), batch_size):
        stop = start + batch_size
        part = frame.iloc[start:stop]
        part.index = pd.RangeIndex(len(part))
        yield Block(
            frame=part,
            beside={name: cells[start:stop] for name, cells in beside.items()},
            index=index[start:stop],
            attrs={SOURCE: path},
            integers=tuple(integers),
            misfits=misfits[start:stop],
            is_typed=is_typed,
        )


def object_cells(values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Return an object cell for each value; cells of an array are views into it."""
    cells = np.empty(len(values), dtype=object)
    for position, value in enumerate(values):
        cells[position] = value
    return cells


def row_source(rows: Block | pd.DataFrame, position: int, key: str) -> str:
    """Return the source of the row at ``position``, or its key if the block does not say."""
    if SOURCE not in rows.attrs:
        return key
    source, row = rows.attrs[SOURCE], rows.index[position]
    return str(row) if source is None else f"{source} row {row}"


def frame_bytes(frame: pd.DataFrame) -> int:
    """Return the approximate bytes of a DataFrame's data, without encoding it.

    For many texts and other objects, only every n-th row is measured.
    """
    dtypes = frame.dtypes.tolist()
    objects = [number for number, dtype in enumerate(dtypes) if dtype.kind == "O"]
    size: int = len(frame) * sum(dtype.itemsize for dtype in dtypes if dtype.kind != "O")
    if objects and len(frame):
        step = 1 + len(frame) * len(objects) // _WEIGHED_CELLS
        columns = [frame.iloc[:, number].to_numpy()[::step].tolist() for number in objects]
        weighed = sum(map(_cell_bytes, chain.from_iterable(columns)))
        size += weighed * len(frame) // len(columns[0])
    return size


def _cell_bytes(cell: Any) -> int:
    if type(cell) is str or type(cell) is bytes:
        return len(cell)
    try:
        return int(cell.nbytes)  # arrays, tensors
    except AttributeError:
        return sys.getsizeof(cell)
