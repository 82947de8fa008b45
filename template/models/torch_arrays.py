"""Calls of torch modules with arrays, and their results as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from template.models.network import Array, name_outputs


def run_torch(
    module: Callable[..., Any], inputs: Mapping[str, Array], device: str
) -> dict[str, np.ndarray]:
    """Return what a module returns for inputs, as arrays by name."""
    import torch

    with torch.inference_mode():
        tensors = [
            (torch.from_numpy(each) if isinstance(each, np.ndarray) else each).to(device)
            for each in inputs.values()
        ]
        outputs = name_outputs(module(*tensors))
    return {name: _to_array(value) for name, value in outputs.items()}


def _to_array(value: Any) -> np.ndarray:
    import torch

    tensor: torch.Tensor = value.detach().cpu()
    array: np.ndarray = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array
