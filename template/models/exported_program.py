"""Programs that ``torch.export.save`` wrote, usually ``.pt2``.

What they take is read from the JSON in them. Loading one may run code: torch evaluates expressions
and guards that are text in the file, looks up functions by name, and unpickles.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from template.models.network import Array, BatchSize, Input, NetworkModel
from template.models.torch_arrays import run_torch

_PROGRAM = "models/model.json"
_MOST_JSON_BYTES = 1 << 28
_SYMBOL = re.compile(r"Symbol\('(\w+)'[^()]*\)")


class ExportedProgramModel(NetworkModel):
    """An exported program; of a fixed number of rows, the last batch is padded and cut."""

    kind = "a program of torch.export"
    runs_code = "torch may run code that is in the file when it loads it"

    def find_inputs(self, local: str) -> tuple[Sequence[Input], BatchSize]:
        """Return the inputs of the graph, without loading it."""
        with zipfile.ZipFile(local) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} is damaged")
            name = next(name for name in archive.namelist() if name.endswith(_PROGRAM))
            if archive.getinfo(name).file_size > _MOST_JSON_BYTES:
                raise ValueError(f"{name} is larger than {_MOST_JSON_BYTES >> 20} MiB")
            program = json.loads(archive.read(name))
        graph = program["graph_module"]["graph"]["tensor_values"]
        specs = program["graph_module"]["signature"]["input_specs"]
        arguments = [each["user_input"]["arg"] for each in specs if "user_input" in each]
        if not all("as_tensor" in each for each in arguments):
            raise ValueError("it has inputs that are not tensors")
        names = [each["as_tensor"]["name"] for each in arguments]
        sizes = [graph[name]["sizes"] for name in names]
        self._exported_on = _find_device(each["device"]["type"] for each in graph.values())
        shapes = [tuple(each.get("as_int") for each in size[1:]) for size in sizes]
        inputs = [
            Input(name, shape, _find_dtype(graph[name]["dtype"]), len(names) > 1)
            for name, shape in zip(names, shapes, strict=True)
        ]
        return inputs, _find_batch_size(sizes[0][0], program["range_constraints"])

    def load_file(self, local: str) -> Any:
        """Return the module on the model's device."""
        import torch
        from torch.export.passes import move_to_device_pass

        program = torch.export.load(local)
        if self.device != "cpu" or self._exported_on != "cpu":
            program = move_to_device_pass(program, self.device)
        return program.module()

    def run(self, loaded: Any, inputs: Mapping[str, Array]) -> Mapping[str, np.ndarray]:
        """Call the module."""
        return run_torch(loaded, inputs, self.device)


def _find_device(types: Iterable[str]) -> str:
    return next((each for each in types if each not in ("cpu", "meta")), "cpu")


def _find_dtype(number: int) -> np.dtype:
    """Return the type of torch's schema as NumPy's.

    Raises:
        ValueError: NumPy has no such type.
    """
    names = {
        1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64",
        6: "float16", 7: "float32", 8: "float64", 12: "bool",
    }  # fmt: skip
    if number not in names:
        raise ValueError(f"an input has type {number} of torch's schema, which arrays do not have")
    return np.dtype(names[number])


def _find_batch_size(rows: Mapping[str, Any], ranges: Mapping[str, Any]) -> BatchSize:
    if "as_int" in rows:
        return BatchSize(rows["as_int"], rows["as_int"])
    symbol = _SYMBOL.fullmatch(rows["as_expr"]["expr_str"])
    bounds = ranges.get(symbol[1], {}) if symbol else {}
    return BatchSize(max(bounds.get("min_val") or 1, 1), bounds.get("max_val"))
