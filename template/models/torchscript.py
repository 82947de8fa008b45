"""TorchScript: programs that ``torch.jit.save`` wrote.

Loading one runs no Python: its code is compiled for TorchScript's own interpreter, and its data are
read by an unpickler in C++ that makes nothing but classes of that code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from template.models.network import Array, BatchSize, Input, NetworkModel
from template.models.torch_arrays import run_torch


class TorchScriptModel(NetworkModel):
    """A scripted or traced module.

    The arguments of its ``forward`` are its inputs; their shapes and types are not in the file. If
    there are several, each is a column.
    """

    kind = "a TorchScript program"

    def find_inputs(self, local: str) -> tuple[Sequence[Input], BatchSize]:
        """Return the arguments of ``forward``."""
        module = _load(local, "cpu")
        arguments = module.forward.schema.arguments[1:]  # but for self
        needed = [each for each in arguments if not each.has_default_value()]
        dtype = np.dtype(np.float32)
        for parameter in module.parameters():
            if parameter.is_floating_point():
                dtype = np.dtype(str(parameter.dtype).removeprefix("torch."))
                break
        is_named = len(needed) > 1
        return [Input(each.name, None, dtype, is_named) for each in needed], BatchSize()

    def load_file(self, local: str) -> Any:
        """Return the module on the model's device."""
        return _load(local, self.device)

    def run(self, loaded: Any, inputs: Mapping[str, Array]) -> Mapping[str, np.ndarray]:
        """Call ``forward``."""
        return run_torch(loaded, inputs, self.device)


def _load(local: str, device: str) -> Any:
    import torch

    return torch.jit.load(local, map_location=device).eval()
