"""The kinds of a table's cells, and which rows can share a block.

One rule for every source: a column of a block has one kind, and other rows never change a row's
values.

- Whole numbers are int64 (uint64 or Python's own from 2**63 and 2**64 on), fractions and missing
numbers are float64, true and false are bool; everything else is an object cell.
- Rows whose cells in some column have different kinds travel in separate blocks, so that a numeric
model gets numeric columns: a text, or a gap among integers, changes no other row's type.
- If that would make too many blocks, integers share float64 with the gaps and fractions of their
  column, but only integers up to 2**53, which a float holds exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from types import NoneType
from typing import Any

import numpy as np
import pandas as pd

from template.blocks import Cells, object_cells

LARGEST_EXACT = 2**53
"""Floats hold every integer up to this one."""
MAX_GROUPS = 32
"""The most blocks into which one block may be split because of integers with gaps."""


class Kind(IntEnum):
    """The kind of a cell, and with it the type of its column.

    In a column a ``GAP`` is a ``NUMBER``, and a ``BIG`` is an ``INTEGER``.
    """

    NUMBER = 0
    """float64."""
    GAP = 1
    """A missing number, NaN."""
    INTEGER = 2
    """int64."""
    BIG = 3
    """An integer that float64 does not hold."""
    UNSIGNED = 4
    """uint64: an integer from 2**63 on."""
    LONG = 5
    """A Python integer, kept as an object: beyond int64 and uint64."""
    FLAG = 6
    """bool."""
    OBJECT = 7
    """Texts, lists and everything else, in object cells; a gap is None."""


_DTYPES = {
    Kind.NUMBER: np.float64,
    Kind.INTEGER: np.int64,
    Kind.UNSIGNED: np.uint64,
    Kind.FLAG: np.bool_,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Rows that can share a block, and the kinds of the columns in which they differ from others.

    ``integers`` are the columns of kind ``NUMBER`` that hold only integers and gaps.
    """

    rows: np.ndarray
    kinds: Mapping[str, Kind]
    integers: tuple[str, ...] = ()


def find_integer_kind(number: int) -> Kind:
    """Return the kind of a whole number."""
    if -LARGEST_EXACT <= number <= LARGEST_EXACT:
        return Kind.INTEGER
    if -(2**63) <= number < 2**63:
        return Kind.BIG
    return Kind.UNSIGNED if 0 < number < 2**64 else Kind.LONG


def find_kinds(cells: Sequence[Any]) -> Kind | np.ndarray:
    """Return the kind of all cells of a column, or the kind of each if they differ."""
    types = set(map(type, cells))
    if types <= {float, NoneType}:
        return Kind.NUMBER
    if types.isdisjoint({int, float, bool}):
        return Kind.OBJECT
    if types == {bool}:
        return Kind.FLAG
    if types == {int} and min(cells) >= -(2**63) and max(cells) < 2**63:
        return Kind.INTEGER
    has_others = not types <= {int, float, bool, NoneType}
    kinds = {
        NoneType: Kind.OBJECT if has_others else Kind.GAP,
        float: Kind.NUMBER,
        bool: Kind.FLAG,
    }
    return np.array(
        [
            find_integer_kind(cell) if type(cell) is int else kinds.get(type(cell), Kind.OBJECT)
            for cell in cells
        ],
        dtype=np.uint8,
    )


def make_cells(kind: Kind, cells: Sequence[Any]) -> np.ndarray:
    """Return cells of one kind as a column."""
    dtype = _DTYPES.get(kind)
    return object_cells(cells) if dtype is None else np.array(cells, dtype=dtype)


def group_rows(kinds: Mapping[str, np.ndarray]) -> list[Group]:
    """Split rows by the kinds of their cells, in the order of each group's first row.

    Args:
        kinds: for each column whose cells differ, the kind of each row's.
    """
    groups = _group(kinds)
    if len(groups) > MAX_GROUPS:
        gappy = {
            name: cells
            for name, cells in kinds.items()
            if np.isin(cells, (Kind.NUMBER, Kind.GAP)).any()
        }
        as_floats = {
            name: _replace(cells, Kind.INTEGER, Kind.NUMBER) for name, cells in gappy.items()
        }
        groups = _group({**kinds, **as_floats})
        groups = [replace(group, integers=_find_integers(gappy, group)) for group in groups]
    return groups


def _replace(cells: np.ndarray, kind: Kind, other: Kind) -> np.ndarray:
    return np.where(cells == kind, np.uint8(other), cells)


def _find_integers(kinds: Mapping[str, np.ndarray], group: Group) -> tuple[str, ...]:
    return tuple(
        name
        for name, cells in kinds.items()
        if group.kinds[name] == Kind.NUMBER
        and set(cells[group.rows].tolist()) == {Kind.INTEGER, Kind.GAP}
    )


def _group(kinds: Mapping[str, np.ndarray]) -> list[Group]:
    typed = {
        name: _replace(_replace(cells, Kind.GAP, Kind.NUMBER), Kind.BIG, Kind.INTEGER)
        for name, cells in kinds.items()
    }
    codes: np.ndarray | int = 0
    for cells in typed.values():
        codes = pd.factorize(codes * len(Kind) + cells.astype(np.int64))[0]
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(np.asarray(codes)[order], prepend=-1))
    return [
        Group(rows=rows, kinds={name: Kind(cells[rows[0]]) for name, cells in typed.items()})
        for rows in np.split(order, starts[1:])
    ]


def without_rows(rows: int, left_out: Collection[int]) -> np.ndarray:
    """Return the numbers of ``rows`` rows in order, without the excluded ones."""
    numbers = np.arange(rows)
    return np.delete(numbers, list(left_out)) if left_out else numbers


def make_frame(columns: Mapping[str, Cells], rows: int) -> pd.DataFrame:
    """Return a frame of columns, or one without any."""
    index = pd.RangeIndex(rows)
    # pandas would guess a type for object cells, which fails for 10**400. Plain numbers need no
    # Series; making one takes as long as everything else here.
    series = {
        name: cells
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "biuf"
        else pd.Series(cells, index=index, dtype=cells.dtype, copy=False)
        for name, cells in columns.items()
    }
    return pd.DataFrame(series, index=index, copy=False)
