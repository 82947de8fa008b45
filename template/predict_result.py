"""What a model's ``predict`` may return, made into one DataFrame per block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from pandas.api.types import infer_dtype

from template.blocks import Cells

COLUMN = "prediction"


class EntryCountError(ValueError):
    """predict returned another number of entries than it was given rows."""


class TakenColumnError(ValueError):
    """predict returned a column whose name is written beside the prediction already.

    A row can be the cause: a model may return input columns, and they differ between rows.
    """


class UnusablePredictionError(TypeError):
    """predict returned what no row can be blamed for: the model has to change."""


def join_predictions(
    beside: Mapping[str, Cells], rows: int, returned: Any, reserved: Collection[str] = ()
) -> pd.DataFrame:
    """Return the columns beside the prediction and what ``predict`` returned, row by row.

    A DataFrame keeps its columns; a Series has its name or "prediction"; arrays, tensors (of any
    device) and sequences become the column "prediction", with a list per row where they have more
    than one dimension; a sequence of mappings becomes columns; None adds no column.

    The rows that predict was given count from 0: a DataFrame or Series with the same numbers in
    another order, sorted or grouped by predict, is put back into theirs. With any other index it
    is in order already.

    Raises:
        EntryCountError: not one entry per row.
        TakenColumnError: a column named like one of ``beside`` or ``reserved``.
        UnusablePredictionError: a type that is none of these, a sequence of columns, or two
            columns of one name.
    """
    columns = _to_frame(returned)
    if columns is None:
        return pd.DataFrame(beside)
    if len(columns) != rows:
        _check_no_columns(returned, rows)
        raise EntryCountError(f"predict returned {len(columns)} entries for {rows} rows")
    columns = _in_order(columns)
    names = list(map(str, columns.columns))
    if len(set(names)) < len(names):
        repeated = next(name for name, count in Counter(names).items() if count > 1)
        raise UnusablePredictionError(
            f"predict returned several columns {repeated!r}: rename all but one"
        )
    for taken in names:
        if taken in beside or taken in reserved:
            raise TakenColumnError(
                f"predict returned a column {taken!r} that is there already, because "
                f"{', '.join([*beside, *reserved])} are written beside the prediction: rename or "
                "drop the model's column"
            )
    names = [*beside, *names]
    values = [*beside.values(), *(column for _, column in columns.items())]
    joined = pd.DataFrame(dict(zip(names, values, strict=True)), index=columns.index, copy=False)
    joined.index = pd.RangeIndex(rows)
    return joined


def _to_frame(returned: Any) -> pd.DataFrame | None:
    if returned is None:
        return None
    if isinstance(returned, pd.DataFrame):
        return returned
    if isinstance(returned, pd.Series):
        return returned.to_frame(COLUMN if returned.name is None else returned.name)
    if isinstance(returned, torch.Tensor):
        returned = _tensor_to_array(returned)
    if isinstance(returned, np.ndarray) and returned.ndim > 0:
        return pd.DataFrame({COLUMN: returned if returned.ndim == 1 else _cells(returned.tolist())})
    if isinstance(returned, Sequence) and not isinstance(returned, str | bytes):
        entries: list[Any] = [
            _tensor_to_array(entry) if isinstance(entry, torch.Tensor) else entry
            for entry in returned
        ]
        if entries and all(isinstance(entry, Mapping) for entry in entries):
            return _join_records(entries)
        return pd.DataFrame({COLUMN: _typed(_cells(entries))})
    raise UnusablePredictionError(
        f"predict returned a {type(returned).__name__}: return a DataFrame, Series, array, tensor "
        "or sequence with one entry per row, or None"
    )


def _join_records(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame.from_records(records)
    for name in frame.columns[frame.dtypes == np.float64]:
        frame[name] = _typed(_cells([record.get(name) for record in records]))
    return frame


def _typed(cells: np.ndarray) -> pd.Series[Any]:
    """Return cells in the type of all of them: floats would round integers among gaps."""
    column = pd.Series(cells, dtype=object)
    return (
        column if infer_dtype(cells, skipna=False).startswith("mixed") else column.infer_objects()
    )


def _in_order(columns: pd.DataFrame) -> pd.DataFrame:
    index = columns.index
    if isinstance(index, pd.RangeIndex) and index.start == 0:
        return columns
    # An index with a name is a column of the user's, whose numbers may look like these.
    if index.name is None and index.dtype.kind == "i":
        order = np.argsort(index, kind="stable")
        if np.array_equal(index[order], np.arange(len(index))):
            return columns.iloc[order]
    return columns


def _check_no_columns(returned: Any, rows: int) -> None:
    """Check that the entries are no columns: a block halved to as many rows would pass."""
    if (
        isinstance(returned, Sequence)
        and len(returned) > 0
        and all(getattr(entry, "shape", ())[:1] == (rows,) for entry in returned)
    ):
        raise UnusablePredictionError(
            f"predict returned a {type(returned).__name__} of {len(returned)} columns of {rows} "
            "entries: return one entry per row, for instance a DataFrame of these columns"
        )


def _cells(entries: Sequence[Any]) -> np.ndarray:
    """Return one object cell per entry, whatever the entries are."""
    cells = np.empty(len(entries), dtype=object)
    for position, entry in enumerate(entries):
        cells[position] = entry.tolist() if isinstance(entry, np.ndarray) else entry
    return cells


def _tensor_to_array(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:  # numpy has no such type
        tensor = tensor.float()
    array: np.ndarray = tensor.numpy()
    return array
