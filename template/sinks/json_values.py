"""Writes values as JSON without changing any of them.

As in the JSON of protocol buffers, an infinity is the text ``"Infinity"`` or ``"-Infinity"``; NaN
is null, like every missing value. Integers and decimals have all their digits.
https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pandas as pd

from template.tensors import is_tensor

# Not orjson's own numpy support, which drops nanoseconds and turns NaT into a date.
_OPTIONS = orjson.OPT_NON_STR_KEYS
_FINITE = (str, int, type(None))


def dump_json(value: Any, holds_infinity: Callable[[Any], bool] | None = None) -> bytes:
    """Return a value as JSON.

    Args:
        value: the value to write.
        holds_infinity: whether it holds an infinity, if known without looking at all of it.

    Raises:
        TypeError: JSON cannot hold it.
    """
    try:
        encoded = orjson.dumps(value, _plain, _OPTIONS)
    except orjson.JSONEncodeError as error:
        if "64-bit" not in str(error):
            raise
    else:
        # orjson turns infinities into null.
        if b"null" not in encoded or not (holds_infinity or _holds_infinity)(value):
            return encoded
    return orjson.dumps(_spell(value), _plain, _OPTIONS)


def to_pandas_time(value: np.datetime64 | np.timedelta64) -> Any:
    """Return a numpy time as a ``Timestamp``, ``Timedelta`` or ``NaT``, with all its digits."""
    return pd.Timestamp(value) if isinstance(value, np.datetime64) else pd.Timedelta(value)


def column_holds_infinity(column: pd.Series[Any]) -> bool:
    """Return whether a column holds an infinity."""
    if column.dtype.kind == "O":
        return any(map(_holds_infinity, column))
    if column.dtype.kind != "f":
        return False
    return bool(np.isinf(column.to_numpy(dtype=float, na_value=np.nan)).any())


def _holds_infinity(value: Any) -> bool:
    """Return whether a value holds an infinity, perhaps nested."""
    if isinstance(value, _FINITE):
        return False
    if isinstance(value, float | np.floating):
        return math.isinf(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f":
            return bool(np.isinf(value).any())
        return value.dtype == object and any(map(_holds_infinity, value.flat))
    if is_tensor(value):
        return bool(value.isinf().any())
    if isinstance(value, Mapping):
        return any(map(_holds_infinity, value.values()))
    return isinstance(value, list | tuple) and any(map(_holds_infinity, value))


def _spell(value: Any) -> Any:
    """Return a value with texts for infinities and all digits of integers."""
    if isinstance(value, float | np.floating):
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**64 else orjson.Fragment(str(value))
    if isinstance(value, np.ndarray) and value.dtype.kind in "mM":
        return list(value)
    if isinstance(value, np.ndarray) or is_tensor(value):
        return _spell(value.tolist())
    if isinstance(value, Mapping):
        return {key: _spell(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_spell(each) for each in value]
    return value


def _plain(value: Any) -> Any:
    """Convert a value that orjson does not support."""
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        if value.is_infinite():
            return "Infinity" if value > 0 else "-Infinity"
        # A JSON number may have as many digits as it needs.
        return orjson.Fragment(str(value)) if value.is_finite() else None
    if isinstance(value, np.datetime64 | np.timedelta64):
        time = to_pandas_time(value)
        return None if time is pd.NaT else time.isoformat()
    if isinstance(value, np.ndarray) and value.dtype.kind in "mM" and value.ndim:
        return list(value)  # numpy turns nanoseconds into integers
    for convert in ("tolist", "isoformat"):  # tensors and foreign arrays; timestamps
        if hasattr(value, convert):
            return getattr(value, convert)()
    raise TypeError(f"a {type(value).__name__}, which JSON cannot hold")
