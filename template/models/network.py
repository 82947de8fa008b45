"""Networks of tensors, whatever runs them: columns or images to inputs, outputs to columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from template.blocks import IMAGE
from template.model import Column
from template.models.image_options import ImageOptions
from template.models.labels import LabelOptions
from template.needs.columns import ColumnType
from template.needs.images import stack_images
from template.predict_result import COLUMN

Array: TypeAlias = Any
"""An array of NumPy or a tensor of torch, which mypy does not see."""
_CHANNELS = (1, 3)
_COLUMN_TYPES: dict[str, ColumnType] = {
    "f": "number",
    "i": "integer",
    "u": "integer",
    "b": "boolean",
    "O": "text",
}


@dataclass(frozen=True)
class Input:
    """An input of a network.

    Attributes:
        name: as its file has it.
        shape: without rows; None where any size will do, and None if the file does not say it.
        dtype: of NumPy; objects are texts.
        is_named: whether somebody chose the name for what goes in, so that it names a column.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: np.dtype
    is_named: bool = True


@dataclass(frozen=True)
class BatchSize:
    """How many rows a network takes at once."""

    minimum: int = 1
    maximum: int | None = None

    def split(self, rows: int) -> Iterator[tuple[int, int]]:
        """Yield the first row of each batch and the one after its last."""
        step = self.maximum or max(rows, 1)
        return ((start, min(start + step, rows)) for start in range(0, rows, step))


class NetworkModel(ImageOptions, LabelOptions):
    """A network; what runs it is up to the kind of file."""

    def find_inputs(self, local: str) -> tuple[Sequence[Input], BatchSize]:
        """Return the inputs that a file has, and how many rows they have."""
        raise NotImplementedError

    def run(self, loaded: Any, inputs: Mapping[str, Array]) -> Mapping[str, np.ndarray]:
        """Return the outputs for a batch, by name; if there is only one, it needs none."""
        raise NotImplementedError

    def inspect_file(self, local: str) -> None:
        """Decide what goes into the inputs: columns, or images."""
        self._inputs, self._batch_size = self.find_inputs(local)
        names = self.feature_names
        only = self._inputs[0]
        self._takes_images = False
        if names and len(self._inputs) > 1:
            raise self._error(
                f"has {len(self._inputs)} inputs, each with the name of its column "
                f"({', '.join(each.name for each in self._inputs)}): leave feature_columns out"
            )
        if names:
            self.columns = _name_columns(names, only)
            size = only.shape[0] if only.shape is not None and len(only.shape) == 1 else None
            if len(names) > 1 and size not in (None, len(names)):
                raise self._error(
                    f"the input {only.name!r} takes {size} columns, and feature_columns names "
                    f"{len(names)}"
                )
        elif len(self._inputs) == 1 and (self.image_size or _is_image(only)):
            self._takes_images = True
            self.columns = [Column(IMAGE, "image")]
            height, width, channels = _image_shape(only)
            sides = (height, width) if height and width else None
            self._images = self.make_images(sides, channels)
        elif all(each.is_named for each in self._inputs):
            self.columns = [Column(each.name, _column_type(each)) for each in self._inputs]
            wide = next((each for each in self._inputs if len(self._inputs) == 1), None)
            if wide is not None and wide.shape and math.prod(n or 2 for n in wide.shape) > 1:
                raise self._missing_columns(wide)
        else:
            raise self._missing_columns(only)

    def _missing_columns(self, wide: Input) -> Exception:
        sizes = "unknown size" if wide.shape is None else f"shape {_format(wide.shape)}"
        return self._error(
            f"the file names no columns for its input {wide.name!r} of {sizes}: set the model's "
            "option feature_columns to the columns in the order in which it was trained, or to "
            "one column of lists; image_size for images"
        )

    def predict(self, df: pd.DataFrame) -> dict[str, Any]:
        """Return the outputs, with labels if the options ask for them."""
        loaded = self.ensure_model()
        arrays = self._make_arrays(df)
        parts = []
        for start, stop in self._batch_size.split(len(df)):
            batch = {name: array[start:stop] for name, array in arrays.items()}
            rows = stop - start
            missing = max(self._batch_size.minimum - rows, 0)
            if missing:
                batch = {name: _pad(array, missing) for name, array in batch.items()}
            outputs = self.run(loaded, batch)
            parts.append({name: array[:rows] for name, array in outputs.items()})
        columns = {name: _concatenate([part[name] for part in parts]) for name in parts[0]}
        return self.label(columns)

    def _make_arrays(self, df: pd.DataFrame) -> dict[str, Array]:
        if self._takes_images:
            only = self._inputs[0]
            return {only.name: self._make_images(df, only)}
        names = self.feature_names
        if len(names) > 1:
            array = df[list(names)].to_numpy(dtype=self._inputs[0].dtype)
            return {self._inputs[0].name: array}
        return {
            each.name: _make_array(df.iloc[:, position], each)
            for position, each in enumerate(self._inputs)
        }

    def _make_images(self, df: pd.DataFrame, only: Input) -> Array:
        is_last = _has_channels_last(only)
        if only.dtype.kind == "f":
            images = self.images(df)
            if only.dtype != np.float32:
                import torch

                images = images.to(getattr(torch, only.dtype.name))
            if only.shape is not None and len(only.shape) == 2:
                return images[:, 0]
            return images.permute(0, 2, 3, 1).contiguous() if is_last else images
        pixels = stack_images(df).astype(only.dtype)
        if pixels.ndim == 3 and (only.shape is None or len(only.shape) == 3):
            pixels = pixels[..., None]
        return pixels if is_last or pixels.ndim == 3 else np.moveaxis(pixels, -1, 1).copy()


def _name_columns(names: Sequence[str], only: Input) -> list[Column]:
    if len(names) == 1 and (only.shape is None or math.prod(n or 2 for n in only.shape) != 1):
        return [Column(names[0], "any")]  # lists
    return [Column(name, _COLUMN_TYPES[only.dtype.kind]) for name in names]


def _column_type(input_: Input) -> ColumnType:
    is_single = input_.shape is None or math.prod(n or 2 for n in input_.shape) == 1
    return _COLUMN_TYPES[input_.dtype.kind] if is_single else "any"


def _make_array(column: pd.Series[Any], input_: Input) -> np.ndarray:
    """Return a column, numbers or lists of them, as an input."""
    if column.dtype != object or input_.dtype.kind == "O":
        array = column.to_numpy(dtype=input_.dtype)
    else:
        array = np.stack([np.asarray(cell, dtype=input_.dtype) for cell in column])
    shape = input_.shape
    if shape is not None and array.ndim != len(shape) + 1 and None not in shape:
        return array.reshape(len(array), *(size or 1 for size in shape))
    return array[:, None] if shape is not None and len(shape) == 1 and array.ndim == 1 else array


def _is_image(input_: Input) -> bool:
    """Say whether the shape can only be that of an image."""
    shape = input_.shape
    if shape is None or len(shape) != 3 or input_.dtype.kind not in "fu":
        return False
    return shape[0] in _CHANNELS or shape[2] in _CHANNELS


def _has_channels_last(input_: Input) -> bool:
    shape = input_.shape
    return shape is not None and len(shape) == 3 and shape[0] not in _CHANNELS


def _image_shape(input_: Input) -> tuple[int | None, int | None, int | None]:
    """Return height, width and channels, as far as the file says them."""
    shape = input_.shape
    if shape is None or len(shape) not in (2, 3):
        return None, None, None
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if _has_channels_last(input_):
        return shape[0], shape[1], shape[2]
    return shape[1], shape[2], shape[0]


def name_outputs(result: Any) -> dict[str, Any]:
    """Return what a network of torch returned, by name."""
    if isinstance(result, Mapping):
        return dict(result)
    if hasattr(result, "_fields"):
        return dict(zip(result._fields, result, strict=True))
    if not isinstance(result, list | tuple):
        return {COLUMN: result}
    if len(result) == 1:
        return {COLUMN: result[0]}
    return {f"output_{number}": each for number, each in enumerate(result)}


def _pad(array: Array, rows: int) -> Array:
    """Return an array with its last row repeated."""
    if isinstance(array, np.ndarray):
        return np.concatenate([array, np.repeat(array[-1:], rows, axis=0)])
    import torch

    return torch.cat([array, array[-1:].expand(rows, *array.shape[1:])])


def _concatenate(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _format(shape: Sequence[int | None]) -> str:
    return f"({', '.join(['rows', *('any' if size is None else str(size) for size in shape)])})"
