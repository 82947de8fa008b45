"""Cells of the type that a model declares, from JSON, from texts and from Arrow.

A column gets one type, whatever it contains. A value that the type cannot hold is a problem of its
row, and missing in the column.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from template.blocks import Cells, object_cells
from template.needs.columns import Column
from template.needs.image_format import ImageFormat
from template.sources.arrow_cells import decode_dictionary, read_item
from template.sources.csv_cells import is_missing_word, read_numbers
from template.sources.json_images import has_boolean, read_image
from template.sources.kinds import LARGEST_EXACT

_SHOWN_TEXT = 200
_FLAGS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}


class TypedCells(NamedTuple):
    """A column of one type, and what is wrong with a row's value."""

    cells: Cells
    problems: dict[int, str]


def type_values(
    column: Column, values: Sequence[Any], images: ImageFormat, max_pixels: int
) -> TypedCells:
    """Return JSON values, None for a missing one, as a column."""
    types = set(map(type, values))
    if column.type == "number":
        if types <= {float, NoneType}:
            return TypedCells(np.array(values, dtype=np.float64), {})
        if types == {int} and min(values) >= -LARGEST_EXACT and max(values) <= LARGEST_EXACT:
            return TypedCells(np.array(values, dtype=np.float64), {})
        return _type_each(column, values, _to_number)
    if column.type == "text":
        if types <= {str, NoneType}:
            return TypedCells(object_cells(values), {})
        return _type_each(column, values, _to_text)
    if column.type == "integer":
        if types == {int} and min(values) >= -(2**63) and max(values) < 2**63:
            return _finish(column, np.array(values, dtype=np.int64), {})
        return _type_each(column, values, _to_integer)
    if column.type == "boolean":
        if types == {bool}:
            return _finish(column, np.array(values, dtype=np.bool_), {})
        return _type_each(column, values, _to_flag)
    if column.type == "image":
        typed = _type_each(column, values, lambda value: _to_image(value, images, max_pixels))
        if images.is_declared:
            _own_images(typed.cells)
        return typed
    return TypedCells(object_cells(values), {})


def type_texts(
    column: Column, texts: pa.ChunkedArray, images: ImageFormat, max_pixels: int
) -> TypedCells:
    """Return texts from CSV or folders, null for a missing one, as a column."""
    if column.type == "number":
        numbers = read_numbers(texts)
        problems = {
            row: _not_exact(cell) if isinstance(cell, int) else _is_not(cell, "a number")
            for row, cell in numbers.cells.items()
        }
        return TypedCells(numbers.values, problems)
    if column.type == "text":
        return TypedCells(texts.to_pandas().to_numpy(dtype=object), {})
    if column.type == "integer":
        numbers = read_numbers(texts)
        if not numbers.cells and (numbers.values == np.floor(numbers.values)).all():  # nor NaN
            return _finish(column, numbers.values.astype(np.int64), {})
        values = numbers.values.tolist()
        for row, cell in numbers.cells.items():
            values[row] = cell
        # NaN stands only for a missing value.
        return type_values(
            column, [None if value != value else value for value in values], images, max_pixels
        )
    words = texts.to_pylist()
    if column.type == "boolean":
        words = [
            None
            if word is None or is_missing_word(word)
            else _FLAGS.get(word.strip().lower(), word)
            for word in words
        ]
    return type_values(column, words, images, max_pixels)


def type_array(column: Column, array: pa.Array, images: ImageFormat, max_pixels: int) -> TypedCells:
    """Return a Parquet column whose type ``find_type_problem`` accepts."""
    array = decode_dictionary(array)
    type_ = array.type
    if column.type == "text" and not pa.types.is_null(type_):
        return TypedCells(array.to_pandas().to_numpy(dtype=object), {})
    if column.type == "boolean" and not array.null_count:
        return _finish(column, array.to_numpy(zero_copy_only=False), {})
    if column.type == "number" and not pa.types.is_integer(type_):
        floats = array if pa.types.is_float64(type_) else array.cast(pa.float64())
        return TypedCells(floats.to_numpy(zero_copy_only=False).copy(), {})
    if column.type == "number" or (column.type == "integer" and pa.types.is_integer(type_)):
        limits = pc.min_max(array)
        lowest, highest = limits["min"].as_py() or 0, limits["max"].as_py() or 0
        if column.type == "number" and lowest >= -LARGEST_EXACT and highest <= LARGEST_EXACT:
            return TypedCells(array.cast(pa.float64()).to_numpy(zero_copy_only=False), {})
        if column.type == "integer" and not array.null_count and highest < 2**63:
            return _finish(column, array.cast(pa.int64()).to_numpy(), {})
    if column.type in ("image", "any"):
        values = [read_item(cell) for cell in array]
    else:
        values = array.to_pylist()
    return type_values(column, values, images, max_pixels)


def find_type_problem(column: Column, type_: pa.DataType) -> str | None:
    """Return what is wrong with the type of a Parquet column, if it never fits."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    is_number = pa.types.is_integer(type_) or pa.types.is_floating(type_)
    fits = {
        "number": is_number or pa.types.is_decimal(type_),
        "integer": is_number,
        "boolean": pa.types.is_boolean(type_),
        "text": pa.types.is_string(type_) or pa.types.is_large_string(type_),
    }.get(column.type, True)
    if fits or pa.types.is_null(type_):
        return None
    return f"column {column.name!r} is of type {type_}, but the model needs {_named(column)}"


def missing_cells(column: Column, rows: int) -> Cells:
    """Return an optional column that the input lacks."""
    if column.type == "number":
        return np.full(rows, np.nan)
    return _finish(column, object_cells([None] * rows), {}).cells


def _type_each(column: Column, values: Sequence[Any], convert: Any) -> TypedCells:
    problems: dict[int, str] = {}
    cells: list[Any] = []
    holds_missing = column.optional or column.type in ("number", "text")
    for row, value in enumerate(values):
        if value is None and not holds_missing:
            problems[row] = f"no value, but the model needs {_named(column)}"
        try:
            cells.append(None if value is None else convert(value))
        except ValueError as error:
            problems[row] = str(error)
            cells.append(None)
    if column.type == "number":
        return TypedCells(np.array(cells, dtype=np.float64), problems)
    return _finish(column, object_cells(cells), problems)


def _finish(column: Column, cells: np.ndarray, problems: dict[int, str]) -> TypedCells:
    """Give cells of whole numbers and flags, None for a missing one, the type of their column."""
    if column.type not in ("integer", "boolean"):
        return TypedCells(cells, problems)
    if column.optional:
        dtype = pd.Int64Dtype() if column.type == "integer" else pd.BooleanDtype()
        return TypedCells(pd.Series(cells, dtype=dtype).array, problems)
    if problems:
        cells[list(problems)] = 0
    return TypedCells(cells.astype(np.int64 if column.type == "integer" else np.bool_), problems)


def _to_image(value: Any, images: ImageFormat, max_pixels: int) -> np.ndarray:
    if isinstance(value, list) and has_boolean(value):
        raise ValueError("its pixels are not numbers")
    return read_image(value, images, max_pixels)


def _own_images(cells: Cells) -> None:
    """Put images into one array, which may be written to."""
    rows = [row for row, cell in enumerate(cells) if cell is not None]
    if rows:
        for row, image in zip(rows, np.stack([cells[row] for row in rows]), strict=True):
            cells[row] = image


def _to_number(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is not int:
        raise ValueError(_is_not(value, "a number"))
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if number != value:
        raise ValueError(_not_exact(value))
    return number


def _to_integer(value: Any) -> int:
    if type(value) is float and value.is_integer() and abs(value) <= LARGEST_EXACT:
        return int(value)
    if type(value) is not int:
        raise ValueError(_is_not(value, "a whole number"))
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{_show(value)} has more than 64 bits")
    return value


def _to_flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(_is_not(value, "true or false"))
    return value


def _to_text(value: Any) -> str:
    if type(value) is str:
        return value
    raise ValueError(_is_not(value, "a text"))


def _is_not(value: Any, what: str) -> str:
    return f"{_show(value)} is not {what}"


def _not_exact(value: int) -> str:
    return f"{_show(value)} is not exact as a float64; declare the column as integer or text"


def _show(value: Any) -> str:
    if isinstance(value, str):
        return repr(value[:_SHOWN_TEXT])
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    try:
        return str(value)[:_SHOWN_TEXT]
    except ValueError:  # an integer of more than 4300 digits
        return "an integer of thousands of digits"


def _named(column: Column) -> str:
    article = "an" if column.type in ("integer", "image", "any") else "a"
    return f"{article} {column.type}"
