"""Networks of tensors in any framework: columns or images become inputs, outputs become columns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from template.blocks import IMAGE, KEY
from template.model import Column, Option
from template.models.file_model import split_names
from template.models.image_options import ImageOptions
from template.models.labels import LabelOptions
from template.needs.columns import ColumnType
from template.needs.images import stack_images
from template.parameters import ParameterError
from template.predict_result import COLUMN, UnusablePredictionError

Array: TypeAlias = Any
"""A NumPy array or a torch tensor, which mypy does not see."""
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
        shape: its shape without the rows; a None in it allows any size, and None instead of it
            means unknown.
        dtype: NumPy's; objects are texts.
        is_named: whether the name was chosen for its content and therefore names a column.
        tensor_type: the type in torch, if NumPy lacks it.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: np.dtype
    is_named: bool = True
    tensor_type: str = ""


@dataclass(frozen=True)
class BatchSize:
    """How many rows a network takes at once: ``minimum`` to ``maximum``, in multiples."""

    minimum: int = 1
    maximum: int | None = None
    multiple: int = 1

    @classmethod
    def of_all(cls, sizes: Sequence[BatchSize]) -> BatchSize:
        """Return the limits that suit every input.

        Raises:
            ValueError: they contradict each other.
        """
        multiple = math.lcm(*(each.multiple for each in sizes))
        minimum = math.ceil(max(each.minimum for each in sizes) / multiple) * multiple
        maxima = [each.maximum // multiple * multiple for each in sizes if each.maximum is not None]
        if maxima and min(maxima) < minimum:
            raise ValueError("its inputs take different numbers of rows at once")
        return cls(minimum, min(maxima, default=None), multiple)

    def split(self, rows: int) -> Iterator[tuple[int, int]]:
        """Yield each batch's first row and the one after its last."""
        step = self.maximum or max(rows, 1)
        return ((start, min(start + step, rows)) for start in range(0, rows, step))

    def count_missing(self, rows: int) -> int:
        """Return the number of padding rows that a batch needs."""
        return max(self.minimum - rows, -rows % self.multiple)


class NetworkModel(ImageOptions, LabelOptions):
    """A network, in the framework of its kind of file."""

    output_names = Option(
        "text",
        "The columns of the model's outputs, in its order, separated by commas. Default: the "
        "names that the outputs have.",
        default=None,
    )
    _outputs: Sequence[str] = ()
    """The names of the outputs, if the file states them."""

    def find_inputs(self, local: str) -> tuple[Sequence[Input], BatchSize]:
        """Return a file's inputs and their numbers of rows; may set ``_outputs``."""
        raise NotImplementedError

    def run(self, loaded: Any, inputs: Mapping[str, Array]) -> Mapping[str, np.ndarray]:
        """Return the outputs for a batch, by name; a single output may have no name."""
        raise NotImplementedError

    def inspect_file(self, local: str) -> None:
        """Decide which columns or images become the inputs."""
        self._inputs, self._batch_size = self.find_inputs(local)
        if self._outputs:
            self._check_outputs(self._outputs)
        names = self.feature_names
        only = self._inputs[0]
        self._takes_images = False
        if names and len(self._inputs) > 1:
            raise self._error(
                f"has {len(self._inputs)} inputs, each with the name of its column "
                f"({', '.join(each.name for each in self._inputs)}): omit feature_columns"
            )
        if names:
            self.columns = _name_columns(names, only)
            size = only.shape[0] if only.shape is not None and len(only.shape) == 1 else None
            if only.shape == ():
                size = 1
            if len(names) > 1 and size not in (None, len(names)):
                raise self._error(
                    f"the input {only.name!r} takes {size} column{'s' if size != 1 else ''}, but "
                    f"feature_columns names {len(names)}"
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

    def _check_outputs(self, outputs: Sequence[str]) -> Sequence[str]:
        """Return the column of each output.

        Raises:
            ParameterError: there are more or fewer ``output_names``, or one is the key's.
        """
        names = split_names(self.output_names)
        if names and len(names) != len(outputs):
            raise self._error(
                f"option output_names: {len(names)} names; the model has {len(outputs)} outputs: "
                f"{', '.join(outputs)}"
            )
        if KEY in (names or outputs):
            raise self._error(
                f"its output {KEY!r} has the name of the column that identifies a row: choose "
                "other names in the model's option output_names, for its outputs "
                f"{', '.join(outputs)}"
                if not names
                else f"option output_names: {KEY!r} is the column that identifies a row"
            )
        return names or outputs

    def _missing_columns(self, wide: Input) -> Exception:
        sizes = "unknown size" if wide.shape is None else f"shape {_format(wide.shape)}"
        return self._error(
            f"the file names no columns for its input {wide.name!r} of {sizes}: set the model's "
            "option feature_columns to the columns in the order in which it was trained, or to "
            "one column of lists; image_size for images"
        )

    def predict(self, df: pd.DataFrame) -> dict[str, Any] | None:
        """Return the outputs, with labels if the options request them; None without rows.

        Raises:
            UnusablePredictionError: an output does not have one entry for each row, or the option
                ``output_names`` does not fit them.
        """
        if df.empty:
            return None
        loaded = self.ensure_model()
        arrays = self._make_arrays(df)
        parts = []
        for start, stop in self._batch_size.split(len(df)):
            batch = {name: array[start:stop] for name, array in arrays.items()}
            rows = stop - start
            missing = self._batch_size.count_missing(rows)
            if missing:
                batch = {name: _pad(array, missing) for name, array in batch.items()}
            outputs = self.run(loaded, batch)
            for name, array in outputs.items():
                if array.shape[:1] != (rows + missing,):
                    raise UnusablePredictionError(
                        f"the model's output {name!r} has shape {array.shape} for "
                        f"{rows + missing} rows: export a model with an entry for each row"
                    )
            parts.append({name: array[:rows] for name, array in outputs.items()})
        own_names = list(parts[0])
        try:
            names = self._check_outputs(own_names)
        except ParameterError as error:  # for a file that does not state them
            raise UnusablePredictionError(str(error)) from None
        columns = {
            name: _concatenate([part[own_name] for part in parts])
            for name, own_name in zip(names, own_names, strict=True)
        }
        return self.label(columns)

    def _make_arrays(self, df: pd.DataFrame) -> dict[str, Array]:
        only = self._inputs[0]
        if self._takes_images:
            return {only.name: self._make_images(df, only)}
        names = self.feature_names
        if len(names) > 1 and only.dtype.kind == "f":
            return {only.name: df[list(names)].to_numpy(only.dtype)}
        if len(names) > 1:
            columns = [_convert(df[name].to_numpy(), only.dtype, name) for name in names]
            return {only.name: np.stack(columns, axis=1)}
        arrays = {
            each.name: _make_array(df.iloc[:, position], each)
            for position, each in enumerate(self._inputs)
        }
        array = arrays[only.name]
        if names and array.ndim == 1 and only.shape is None and only.dtype.kind == "f":
            return {only.name: array[:, None]}  # as of several columns
        return arrays

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
    is_text = only.shape is None and only.dtype.kind == "O"
    is_single = only.shape is not None and math.prod(n or 2 for n in only.shape) == 1
    if len(names) == 1 and not (is_text or is_single):
        return [Column(names[0], "any")]  # lists
    return [Column(name, _COLUMN_TYPES[only.dtype.kind]) for name in names]


def _column_type(input_: Input) -> ColumnType:
    is_single = input_.shape is None or math.prod(n or 2 for n in input_.shape) == 1
    return _COLUMN_TYPES[input_.dtype.kind] if is_single else "any"


def _make_array(column: pd.Series[Any], input_: Input) -> np.ndarray:
    """Return a column of numbers, or of lists of numbers, as an input."""
    name, shape = str(column.name), input_.shape
    if column.dtype != object or input_.dtype.kind == "O":
        array = _convert(column.to_numpy(), input_.dtype, name)
    else:
        array = np.stack([_convert(_read_cell(cell), input_.dtype, name) for cell in column])
    if shape is None or array.ndim == len(shape) + 1:
        return array
    if None not in shape and math.prod(array.shape[1:]) == math.prod(map(int, shape)):  # type: ignore[arg-type]
        return array.reshape(len(array), *shape)
    if len(shape) == 1 and array.ndim == 1:
        return array[:, None]
    raise ValueError(
        f"column {name!r}: a value of shape {array.shape[1:]}; the model takes {_format(shape)}"
    )


def _read_cell(cell: Any) -> np.ndarray:
    """Return a number or a list of numbers; in CSV both are text."""
    if isinstance(cell, str):
        with suppress(ValueError):
            cell = json.loads(cell)
    return np.asarray(cell)


def _convert(values: np.ndarray, dtype: np.dtype, column: str) -> np.ndarray:
    """Return values in the type of an input.

    Raises:
        ValueError: a value would change, or is missing.
    """
    if dtype.kind == "O":
        missing = [value for value in values if not isinstance(value, str)]
        if missing:
            raise ValueError(f"column {column!r}: {missing[0]!r} is not a text")
        return values
    if values.dtype.kind not in "fiub":
        raise ValueError(f"column {column!r}: not only numbers")
    with np.errstate(invalid="ignore", over="ignore"):
        converted = values.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(converted, values):
        raise ValueError(f"column {column!r}: not of the model's type {dtype}")
    return converted


def _is_image(input_: Input) -> bool:
    """Return whether the shape can only be that of an image."""
    shape = input_.shape
    if shape is None or len(shape) != 3 or input_.dtype.kind not in "fu":
        return False
    return shape[0] in _CHANNELS or shape[2] in _CHANNELS


def _has_channels_last(input_: Input) -> bool:
    shape = input_.shape
    return shape is not None and len(shape) == 3 and shape[0] not in _CHANNELS


def _image_shape(input_: Input) -> tuple[int | None, int | None, int | None]:
    """Return height, width and channels; None for those that the file does not state."""
    shape = input_.shape
    if shape is None or len(shape) not in (2, 3):
        return None, None, None
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if _has_channels_last(input_):
        return shape[0], shape[1], shape[2]
    return shape[1], shape[2], shape[0]


def name_outputs(result: Any) -> dict[str, Any]:
    """Return a torch network's outputs by name, without those that are None.

    Outputs in a dictionary or a named tuple have its names, those in a tuple ``output_0`` and so
    on; nested names are joined, ``hidden_0``. A list of texts is one output.

    Raises:
        UnusablePredictionError: there are none, or several have the same name.
    """
    outputs: dict[str, Any] = {}
    for name, value in _flatten("", result):
        if name in outputs:
            raise UnusablePredictionError(f"the model returned several outputs {name!r}")
        outputs[name] = value
    if not outputs:
        raise UnusablePredictionError("the model returned nothing")
    return outputs


def _flatten(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flatten(f"{name}_{key}" if name else str(key), each)
    elif isinstance(value, list | tuple) and not all(isinstance(each, str) for each in value):
        for number, each in enumerate(value):
            inner = f"{name or 'output'}_{number}" if len(value) > 1 else name
            yield from _flatten(inner, each)
    elif value is not None:
        yield name or COLUMN, value


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
