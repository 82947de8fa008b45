"""TorchScript: programs that ``torch.jit.save`` wrote.

Loading one runs no Python: its code is compiled for TorchScript's own interpreter, and its
data is read by a C++ unpickler that creates only the classes of that code.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from template.model import Option
from template.models.network import Array, BatchSize, Input, NetworkModel
from template.models.torch_archive import rewrite
from template.models.torch_arrays import run_torch

_DEVICE = re.compile(rb'torch\.device\("(?:cpu|cuda(?::\d+)?)"\)')
_TAKES_INDICES = {"aten::embedding": 1, "aten::embedding_bag": 1, "aten::one_hot": 0}
"""Operators, and which of their arguments takes whole numbers."""
_BFLOAT16 = "bfloat16"


class TorchScriptModel(NetworkModel):
    """A scripted or traced module.

    The arguments of its ``forward`` are its inputs; their shapes are not in the file. If there are
    several, each is a column. A list of texts is a column too.
    """

    kind = "a TorchScript program"

    input_type = Option(
        "text",
        "The number type of a TorchScript program's input. By default its weights' type, or "
        "int64 for embedding lookups.",
        default=None,
        choices=["float32", "float64", "float16", _BFLOAT16, "int64", "int32", "uint8", "bool"],
    )

    def find_inputs(self, local: str) -> tuple[Sequence[Input], BatchSize]:
        """Return the arguments of ``forward``."""
        module = _load(local, "cpu")
        if not hasattr(module, "forward"):
            raise self._error("is a TorchScript program without a forward")
        arguments = module.forward.schema.arguments[1:]  # except self
        needed = [each for each in arguments if not each.has_default_value()]
        if not needed:
            raise self._error("the program's forward takes no arguments")
        values = list(module.inlined_graph.inputs())[1:]
        types = [
            self._find_type(module, argument, value)
            for argument, value in zip(needed, values, strict=False)
        ]
        is_named = len(needed) > 1
        inputs = [
            Input(
                each.name,
                None,
                np.dtype(np.float32 if type_ == _BFLOAT16 else type_),
                is_named,
                type_ if type_ == _BFLOAT16 else "",
            )
            for each, type_ in zip(needed, types, strict=True)
        ]
        return inputs, BatchSize()

    def _find_type(self, module: Any, argument: Any, value: Any) -> str:
        """Return the type of an argument from its use, because the file does not state it."""
        declared = str(argument.type)
        if declared == "List[str]":
            return "object"
        if declared not in ("Tensor", "Optional[Tensor]"):
            raise self._error(
                f"the argument {argument.name!r} of forward is of type {declared}; columns can be "
                "a Tensor or a List[str]. Script a module whose forward takes these types"
            )
        if self.input_type:
            return str(self.input_type)
        for use in value.uses():
            if _TAKES_INDICES.get(use.user.kind()) == use.offset:
                return "int64"
        floats = (each for each in module.parameters() if each.is_floating_point())
        return str(next((each.dtype for each in floats), "float32")).removeprefix("torch.")

    def load_file(self, local: str) -> Any:
        """Return the module on the model's device."""
        return _load(local, self.device)

    def run(self, loaded: Any, inputs: Mapping[str, Array]) -> Mapping[str, np.ndarray]:
        """Call ``forward``."""
        return run_torch(loaded, inputs, self._inputs, self.device)


def _load(local: str, device: str) -> Any:
    """Load a program; devices that tracing wrote into its code become ``device``."""
    import torch

    name = f'torch.device("{device}")'.encode()

    def move(member: str, content: bytes) -> bytes:
        return _DEVICE.sub(name, content) if member.endswith(".py") else content

    with tempfile.TemporaryDirectory() as folder:
        moved = rewrite(Path(local), Path(folder) / "moved.pt", move)
        return torch.jit.load(moved or local, map_location=device).eval()
