"""The rows for ``predict``, as they were read, whatever an earlier call did to its frame.

A block is predicted again if it is halved, if its model is checked, and if two models are compared,
and ``predict`` may change what it gets in place: a column, an array or a list in a cell.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import uuid
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from template.blocks import Block
from template.tensors import is_tensor

_CONSTANTS = frozenset(
    {
        str,
        bytes,
        int,
        float,
        complex,
        bool,
        type(None),
        decimal.Decimal,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        uuid.UUID,
        pd.Timestamp,
        pd.Timedelta,
        type(pd.NaT),
        type(pd.NA),
    }
)
"""Immutable types of cells."""


class Rows:
    """The rows of a block, available any number of times.

    A block with an origin is handed out without a copy, and restored only if it is needed again.
    Lists, arrays and similar cells of other blocks are copied.
    """

    def __init__(self, block: Block) -> None:
        self._block = block
        self._handed_out = False

    def __len__(self) -> int:
        return len(self._block)

    @property
    def block(self) -> Block:
        """The block, whose frame ``predict`` may have changed."""
        return self._block

    def take(self, start: int, stop: int) -> Block:
        """Return rows from ``start`` to ``stop``, with a frame of the caller's own."""
        block = self._block
        if self._handed_out:
            self._block = block = _restore(block)
            self._handed_out = False
        if (start, stop) != (0, len(block)):
            part = block.take(start, stop)
            return replace(part, frame=own_frame(part.frame))
        if block.origin is None:
            return replace(block, frame=own_frame(block.frame))
        self._handed_out = True
        return replace(block, frame=block.frame.copy())


def _restore(block: Block) -> Block:
    """Return a block with its cells as before ``predict`` got them."""
    assert block.origin is not None
    frame = block.frame.copy(deep=False)
    for name, cells in block.origin().items():
        if name in frame and frame[name].dtype == object:  # the others were copied before
            frame[name] = np.asarray(cells)
    return replace(block, frame=frame)


def own_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a copy that shares nothing changeable with ``frame``.

    Objects that cannot be copied, such as open files, are shared.
    """
    own = frame.copy()
    for position, dtype in enumerate(frame.dtypes):
        if dtype.kind == "O" and isinstance(dtype, np.dtype):
            cells = frame.iloc[:, position].to_numpy()
            copies = _own_cells(cells)
            if copies is not cells:
                own.isetitem(position, copies)
    return own


def _own_cells(cells: np.ndarray) -> np.ndarray:
    kinds = set(map(type, cells))
    if all(map(_is_constant, kinds)):
        return cells
    if kinds == {np.ndarray} and len({cell.dtype for cell in cells}) == 1:
        return _own_arrays(cells)
    own = np.empty(len(cells), dtype=object)
    for position, cell in enumerate(cells):
        own[position] = _own(cell)
    return own


def _own_arrays(cells: np.ndarray) -> np.ndarray:
    """Copy arrays of one type together, which is many times faster than one by one."""
    if cells[0].dtype.hasobject:
        return copy.deepcopy(cells)
    values = np.concatenate([cell.ravel() for cell in cells])
    own = np.empty(len(cells), dtype=object)
    start = 0
    for position, cell in enumerate(cells):
        stop = start + cell.size
        own[position] = values[start:stop].reshape(cell.shape)
        start = stop
    return own


def _own(cell: Any) -> Any:
    kind = type(cell)
    if _is_constant(kind):
        return cell
    if kind is list:
        return [entry if type(entry) in _CONSTANTS else _own(entry) for entry in cell]
    if kind is dict:
        return {name: _own(value) for name, value in cell.items()}
    if is_tensor(cell) and not cell.is_leaf:  # which deepcopy refuses
        return cell.clone()
    try:
        return copy.deepcopy(cell)
    except Exception:  # objects of other libraries may raise anything
        return cell


def _is_constant(kind: type) -> bool:
    return kind in _CONSTANTS or (issubclass(kind, np.generic) and kind is not np.void)
