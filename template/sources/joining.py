"""Joins blocks of small files, so that ``predict`` gets a batch instead of a file's few rows.

Only blocks with the same columns and types are joined, so no row's values or types change.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from template.blocks import SOURCE, Block, Cells, row_source

_MOST_SHAPES = 16
"""The number of blocks with different columns that are open at a time."""


class JoinedBlocks:
    """Gathers blocks of one split.

    Args:
        batch_size: the most rows of a block.
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._open: dict[Hashable, list[Block]] = {}

    def add(self, block: Block) -> Iterator[Block]:
        """Add a block; yield those that it completes."""
        shape = _find_shape(block)
        others = self._open.pop(shape, [])
        if sum(map(len, others)) + len(block) > self._batch_size:
            yield _join(others)
            others = []
        elif len(self._open) == _MOST_SHAPES:
            yield _join(self._open.pop(next(iter(self._open))))
        self._open[shape] = [*others, block]

    def close(self) -> Iterator[Block]:
        """Yield the blocks that are open."""
        while self._open:
            yield _join(self._open.pop(next(iter(self._open))))


def _find_shape(block: Block) -> Hashable:
    frame = block.frame
    beside = tuple((name, cells.dtype) for name, cells in block.beside.items())
    return (*frame.columns, *frame.dtypes), beside, block.integers, block.is_typed


def _join(blocks: Sequence[Block]) -> Block:
    """Join blocks with the same columns and types; the index then names each row's file."""
    first = blocks[0]
    if len(blocks) == 1:
        return first
    sources = [row_source(block, row, "") for block in blocks for row in range(len(block))]
    misfits: list[Any] = []
    if any(block.misfits for block in blocks):
        misfits = [row for block in blocks for row in block.misfits or [{}] * len(block)]
    return Block(
        frame=pd.concat([block.frame for block in blocks], ignore_index=True),
        beside={name: _concat([block.beside[name] for block in blocks]) for name in first.beside},
        index=pd.Index(sources, dtype=object),
        attrs={**first.attrs, SOURCE: None},
        integers=first.integers,
        misfits=misfits,
        is_typed=first.is_typed,
    )


def _concat(parts: Sequence[Cells]) -> Cells:
    columns = [pd.Series(part, dtype=part.dtype, copy=False) for part in parts]
    joined = pd.concat(columns, ignore_index=True)
    cells: Cells = joined.to_numpy() if isinstance(parts[0], np.ndarray) else joined.array
    return cells
