"""Calls of torch modules with arrays, and their results as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from template.models.network import Array, Input, name_outputs
from template.predict_result import UnusablePredictionError, tensor_to_array
from template.tensors import is_tensor, to_device


def run_torch(
    module: Callable[..., Any], inputs: Mapping[str, Array], declared: Sequence[Input], device: str
) -> dict[str, np.ndarray]:
    """Return a module's outputs for inputs, as arrays by name.

    Raises:
        UnusablePredictionError: an output is neither a tensor nor a list of texts.
    """
    import torch

    with torch.inference_mode():
        values = [_to_tensor(inputs[each.name], each, device) for each in declared]
        outputs = name_outputs(module(*values))
    return {name: _to_array(name, value) for name, value in outputs.items()}


def _to_tensor(array: Array, input_: Input, device: str) -> Any:
    """Return an array as a tensor, or an array of texts as a list."""
    import torch

    if isinstance(array, np.ndarray):
        if array.dtype.kind == "O":
            return array.tolist()
        array = torch.from_numpy(array)
    tensor = to_device(array, device)
    return tensor.to(getattr(torch, input_.tensor_type)) if input_.tensor_type else tensor


def _to_array(name: str, value: Any) -> np.ndarray:
    if is_tensor(value):
        import torch

        is_rounded = torch.is_autocast_enabled(value.device.type) and value.dtype == torch.float16
        return tensor_to_array(value.float() if is_rounded else value)
    if isinstance(value, list):
        return np.array(value, dtype=object)
    raise UnusablePredictionError(
        f"the model's output {name!r} is a {type(value).__name__}, not a tensor"
    )
