"""Turn the return value of a model's ``predict`` into one DataFrame per block."""

from __future__ import annotations

import datetime
import numbers
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from template.blocks import Cells
from template.tensors import is_tensor

if TYPE_CHECKING:
    import torch

COLUMN = "prediction"

_SINGLE = (np.generic, numbers.Number, str, bytes, datetime.date, datetime.timedelta)


class EntryCountError(ValueError):
    """predict returned a different number of entries than it got rows."""

    def __init__(self, entries: int, rows: int) -> None:
        super().__init__(f"predict returned {entries} entries for {rows} rows")
        self.entries = entries
        self.rows = rows

    def __reduce__(self) -> Any:
        return type(self), (self.entries, self.rows)


class TakenColumnError(ValueError):
    """predict returned a column whose name is already written beside the prediction.

    A row can be the cause, because a model may return input columns, which differ between rows.
    """

    def __init__(self, column: str, written: Sequence[str]) -> None:
        are = "is" if len(written) == 1 else "are"
        super().__init__(
            f"predict returned a column {column!r} that already exists, because "
            f"{', '.join(written)} {are} written beside the prediction: rename or drop the model's "
            "column"
        )
        self.column = column
        self._written = tuple(written)

    def __reduce__(self) -> Any:
        return type(self), (self.column, self._written)


class UnusablePredictionError(TypeError):
    """predict returned something that no row can cause, so the model must change."""


def join_predictions(
    beside: Mapping[str, Cells], rows: int, returned: Any, reserved: Collection[str] = ()
) -> pd.DataFrame:
    """Return the columns beside the prediction and the result of ``predict``, row by row.

    A DataFrame keeps its columns. A mapping of arrays or lists, a sequence of mappings and a
    structured array give one column for each name. A Series has its name or "prediction"; arrays
    (of any library that NumPy can read), tensors (of any device) and lists become the column
    "prediction", with a list per row if they have more than one dimension. A single value (without
    dimensions, such as ``squeeze`` returns for one row) is one entry. None adds no column.

    Rows are numbered from 0 for ``predict``: a DataFrame or Series with the same numbers in another
    order, sorted or grouped by predict, is put back into order. With any other index, the order
    does not change.

    Raises:
        EntryCountError: not one entry per row.
        TakenColumnError: a column named like one of ``beside`` or ``reserved``.
        UnusablePredictionError: another type, a sequence of columns, columns of different lengths,
            or two with the same name.
    """
    if isinstance(returned, str | bytes) and rows != 1:
        raise _unusable_type(returned)
    columns = _to_frame(returned)
    if columns is None:
        return pd.DataFrame(beside)
    if len(columns) != rows:
        _check_no_columns(returned, rows)
        raise EntryCountError(len(columns), rows)
    columns = _in_order(columns)
    names = list(map(str, columns.columns))
    if len(set(names)) < len(names):
        repeated = next(name for name, count in Counter(names).items() if count > 1)
        raise UnusablePredictionError(
            f"predict returned several columns {repeated!r}: rename all but one"
        )
    for taken in names:
        if taken in beside or taken in reserved:
            raise TakenColumnError(taken, [*beside, *reserved])
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
    if isinstance(returned, Mapping):
        return _join_columns(returned)
    if isinstance(returned, np.ndarray) and returned.dtype.names and returned.ndim == 1:
        return pd.DataFrame({name: returned[name] for name in returned.dtype.names})
    if isinstance(returned, tuple) and any(map(_is_column, returned)):
        raise UnusablePredictionError(
            f"predict returned a {type(returned).__name__} of {len(returned)} arrays, which may be "
            "columns or rows: return a dict of them, {'name': array, ...}, for columns, or a list "
            "with one entry per row"
        )
    if isinstance(returned, Sequence) and returned and all(map(_is_record, returned)):
        return _join_records(returned)
    return pd.DataFrame({COLUMN: _to_column(returned)})


def _to_column(returned: Any) -> Any:
    """Return one entry per row, as a pandas column."""
    returned = _to_array(returned)
    if isinstance(returned, np.ma.MaskedArray):
        return _typed(_cells(np.atleast_1d(returned).tolist()))
    if isinstance(returned, np.ndarray):
        returned = np.atleast_1d(returned)
        return returned if returned.ndim == 1 else _cells(_to_list(returned))
    if isinstance(returned, _SINGLE):
        return _typed(_cells([returned]))
    if isinstance(returned, Sequence):
        if any(hasattr(each, "__array__") for each in set(map(type, returned))):
            returned = list(map(_to_array, returned))
        return _typed(_cells(returned))
    raise _unusable_type(returned)


def _is_foreign(value: Any) -> bool:
    """Return whether a value is an array of another library, such as JAX, TensorFlow or pyarrow."""
    if isinstance(value, np.ndarray | np.generic) or is_tensor(value):
        return False
    # NumPy rounds integers in a column with pandas' missing values.
    return hasattr(value, "__array__") and type(value).__module__.partition(".")[0] != "pandas"


def _to_array(value: Any) -> Any:
    """Return tensors and other libraries' arrays as a NumPy array or list; other values as is."""
    if isinstance(value, np.ndarray):
        return value
    if is_tensor(value):
        return tensor_to_array(value)
    if not _is_foreign(value):
        return value
    # pyarrow: with nulls, integers would become floats and be rounded
    if hasattr(value, "to_pylist"):
        return value.to_pylist()
    array = np.asarray(value)
    # bfloat16, for instance, a type that the library adds to NumPy's own.
    return array.astype(np.float32) if array.dtype.isbuiltin == 2 else array


def _unusable_type(returned: Any) -> UnusablePredictionError:
    return UnusablePredictionError(
        f"predict returned a {type(returned).__name__}: return a DataFrame, Series, dict of "
        "arrays, array, tensor or list with one entry per row, or None"
    )


def _join_columns(columns: Mapping[Any, Any]) -> pd.DataFrame:
    """Return the frame of a mapping from names to columns."""
    made = {}
    for name, values in columns.items():
        if values is None or isinstance(values, Mapping | pd.DataFrame):
            raise UnusablePredictionError(
                f"predict returned a {type(columns).__name__} whose {name!r} is "
                f"{'None' if values is None else f'a {type(values).__name__}'}: "
                "give each column as an array, a tensor or a list with one entry per row"
            )
        if isinstance(values, pd.Series):
            made[name] = _in_order(values.to_frame()).iloc[:, 0].array
        else:
            made[name] = _to_column(values)
    if len({len(values) for values in made.values()}) != 1:
        lengths = ", ".join(f"{name!r} has {len(values)} entries" for name, values in made.items())
        raise UnusablePredictionError(
            f"predict returned a {type(columns).__name__} without one entry per row in every "
            f"column: {lengths or 'it is empty'}"
        )
    return pd.DataFrame(made)


def _is_record(entry: Any) -> bool:
    return isinstance(entry, Mapping)


def _is_column(entry: Any) -> bool:
    return isinstance(entry, pd.Series | pd.DataFrame) or (
        (isinstance(entry, np.ndarray) or is_tensor(entry) or _is_foreign(entry))
        and np.ndim(entry) > 0
    )


def _join_records(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame.from_records(records)
    for name in frame.columns[frame.dtypes == np.float64]:
        frame[name] = _typed(_cells([record.get(name) for record in records]))
    return frame


def _typed(cells: np.ndarray) -> pd.Series[Any]:
    """Return cells in a type that holds all exactly: floats would round integers with gaps."""
    column = pd.Series(cells, dtype=object)
    return (
        column if infer_dtype(cells, skipna=False).startswith("mixed") else column.infer_objects()
    )


def _in_order(columns: pd.DataFrame) -> pd.DataFrame:
    index = columns.index
    if isinstance(index, pd.RangeIndex) and index.start == 0:
        return columns
    # A named index is one of the user's columns, whose numbers may look like row numbers.
    if index.name is None and index.dtype.kind == "i":
        order = np.argsort(index, kind="stable")
        if np.array_equal(index[order], np.arange(len(index))):
            return columns.iloc[order]
    return columns


def _check_no_columns(returned: Any, rows: int) -> None:
    """Check that the entries are not columns: a block halved to as many rows would look correct."""
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
    """Return one object cell per entry, of any type."""
    cells = np.empty(len(entries), dtype=object)
    for position, entry in enumerate(entries):
        cells[position] = _to_list(entry) if isinstance(entry, np.ndarray) else entry
    return cells


def _to_list(array: np.ndarray) -> Any:
    """Return an array as lists; numpy's own method turns times in nanoseconds into integers."""
    if array.dtype.kind not in "mM":
        return array.tolist()
    times = pd.Series(array.ravel()).to_numpy(dtype=object)
    return times.reshape(array.shape).tolist()


def tensor_to_array(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor of any device as an array; types that NumPy lacks become float32.

    Raises:
        UnusablePredictionError: it is sparse, quantized or without data.
    """
    import torch  # already loaded, because a tensor exists

    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        raise UnusablePredictionError(
            f"predict returned a tensor of layout {tensor.layout}, {tensor.dtype} on "
            f"{tensor.device}: return one that numpy can hold, by to_dense() or dequantize()"
        )
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    numpy_has = (torch.float16, torch.float32, torch.float64)
    if tensor.is_floating_point() and tensor.dtype not in numpy_has:  # bfloat16, float8
        tensor = tensor.float()
    array: np.ndarray = tensor.numpy()
    return array
