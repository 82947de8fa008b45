"""The columns of some CSV rows, and frames of the rows that can share a block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from template.sources.csv_cells import Numbers
from template.sources.kinds import Group, Kind, group_rows, make_cells, make_frame


class Table:
    """Columns of some rows, from which frames of some of them are made."""

    def __init__(
        self,
        names: Sequence[str],
        numbers: Mapping[str, Numbers],
        texts: Mapping[str, np.ndarray],
        rows: int,
    ) -> None:
        self._names = names
        self._numbers = numbers
        self._texts = texts
        # In one array, because models combine numeric columns into one.
        self._values = np.empty((len(numbers), rows))
        for position, column in enumerate(numbers.values()):
            self._values[position] = column.values
        self._rows = rows

    def group_rows(self) -> list[Group]:
        """Split the rows by the cells that do not fit their column."""
        kinds = {
            name: column.find_kinds() for name, column in self._numbers.items() if column.cells
        }
        if kinds:
            return group_rows(kinds)
        return [Group(rows=np.arange(self._rows), kinds={})]

    def take(self, rows: np.ndarray, kinds: Mapping[str, Kind]) -> pd.DataFrame:
        """Return some rows, with columns of ``kinds`` for those that are not numbers."""
        chosen = slice(None) if len(rows) == self._rows else rows
        frame = pd.DataFrame(self._values[:, chosen].T, columns=list(self._numbers), copy=False)
        others = {
            name: self._texts[name][chosen] for name in self._names if name not in self._numbers
        }
        for name, kind in kinds.items():
            if kind is not Kind.NUMBER:
                cells = self._numbers[name].cells
                others[name] = make_cells(kind, [cells[row] for row in rows.tolist()])
        if not others:
            return frame
        kept = frame.drop(columns=[name for name in others if name in self._numbers])
        columns = pd.concat([kept, make_frame(others, len(frame))], axis=1)
        return columns[self._names]

    def find_misfits(self, rows: np.ndarray, kinds: Mapping[str, Kind]) -> list[dict[str, str]]:
        """Return for each row its texts in columns of numbers, if there are any."""
        names = [name for name, kind in kinds.items() if kind is Kind.OBJECT]
        if not names:
            return []
        return [
            {name: str(self._numbers[name].cells[row]) for name in names} for row in rows.tolist()
        ]
