"""ONNX models, run by ONNX Runtime."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from template.models.network import Array, BatchSize, Input, NetworkModel
from template.tensors import is_tensor

_DTYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "bool": "bool",
    "string": "object", "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64",
    "uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64",
}  # fmt: skip
_NEWER = re.compile(r"(Opset \d+) is under development|(IR version: \d+), max")
_MISSING_DATA = re.compile(r'External data path does not exist: "?([^"\n]+)')


class OnnxModel(NetworkModel):
    """An ONNX model: the names of its inputs and outputs are columns."""

    kind = "an ONNX model"
    modules: ClassVar[Mapping[str, str]] = {"onnxruntime": "onnxruntime"}
    extra = "onnx"
    uses_torch = False

    def find_inputs(self, local: str) -> tuple[Sequence[Input], BatchSize]:
        """Return the inputs of the graph."""
        try:
            session = _open_session(local, "cpu")
            found = session.get_inputs()
            self._outputs = [each.name for each in session.get_outputs()]
        except Exception as error:
            if missing := _MISSING_DATA.search(str(error)):
                raise self._error(
                    f"is an ONNX model whose weights are in another file, {Path(missing[1]).name}: "
                    "put both into a folder, and give the folder"
                ) from None
            if newer := _NEWER.search(str(error)):
                raise self._error(
                    f"is an ONNX model that is newer than this onnxruntime ({newer[1] or newer[2]})"
                    ": install a newer onnxruntime, or export the model with an older opset"
                ) from None
            raise
        if not found:
            raise self._error("the model has no inputs")
        if single := next((each.name for each in found if not each.shape), None):
            raise self._error(
                f"the input {single!r} is a single value, not one for each row: export the model "
                "with a first dimension of rows, or with the value as a constant"
            )
        sizes = [[size if isinstance(size, int) else None for size in each.shape] for each in found]
        inputs = [
            Input(each.name, tuple(size[1:]), self._find_dtype(each.name, each.type))
            for each, size in zip(found, sizes, strict=True)
        ]
        return inputs, BatchSize.of_all([BatchSize(size[0] or 1, size[0]) for size in sizes])

    def _find_dtype(self, name: str, type_: str) -> np.dtype:
        scalar = type_.removeprefix("tensor(").removesuffix(")")
        if scalar not in _DTYPES:
            raise self._error(f"the input {name!r} is a {type_}, which columns are not")
        return np.dtype(_DTYPES[scalar])

    def load_file(self, local: str) -> Any:
        """Return a session on the model's device."""
        return _open_session(local, self.device)

    def run(self, loaded: Any, inputs: Mapping[str, Array]) -> Mapping[str, np.ndarray]:
        """Run the graph."""
        arrays = {
            name: each.cpu().numpy() if is_tensor(each) else each for name, each in inputs.items()
        }
        names = [each.name for each in loaded.get_outputs()]
        return dict(zip(names, map(_to_array, loaded.run(names, arrays)), strict=True))


def _open_session(local: str, device: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    providers: list[Any] = ["CPUExecutionProvider"]
    kind, _, number = device.partition(":")
    if kind == "cuda":
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise ValueError(
                "this onnxruntime is built without CUDA: install onnxruntime-gpu instead, or pass "
                "--device=cpu"
            )
        providers = [("CUDAExecutionProvider", {"device_id": int(number or 0)}), *providers]
    else:
        options.intra_op_num_threads = 1  # Beam runs a process on each core
    return onnxruntime.InferenceSession(local, options, providers=providers)


def _to_array(output: Any) -> np.ndarray:
    """Return an output; for a classifier's maps from class to score, only the scores."""
    if isinstance(output, list) and output and isinstance(output[0], dict):
        return np.array([list(scores.values()) for scores in output])
    return np.asarray(output)
