"""Programs that ``torch.export.save`` wrote, usually ``.pt2``.

Their inputs are read from the JSON in them. Loading one may run code: torch evaluates expressions
and guards from text in the file, looks up functions by name, and unpickles data.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from template.models.network import Array, BatchSize, Input, NetworkModel
from template.models.torch_archive import rewrite
from template.models.torch_arrays import run_torch

_PROGRAM = "models/model.json"
_MOST_JSON_BYTES = 1 << 28
_ROWS = re.compile(r"(?:Mul\(Integer\((\d+)\), )?Symbol\('(\w+)'[^()]*\)\)?")
_DEVICE = re.compile(rb'\{"type": "cuda", "index": (?:null|\d+)\}')
_BFLOAT16 = 13
_DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64",
    6: "float16", 7: "float32", 8: "float64", 12: "bool", _BFLOAT16: "float32",
}  # fmt: skip
"""By torch's schema numbers; for a type that NumPy lacks, the type to convert from."""


class ExportedProgramModel(NetworkModel):
    """An exported program.

    If it takes a fixed number of rows, the last batch is padded and its result is cut. A program
    exported on a GPU is moved to the worker's device.
    """

    kind = "a torch.export program"
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
        if not arguments:
            raise self._error("the program takes no tensors")
        if not all("as_tensor" in each for each in arguments):
            raise self._error("the program has inputs that are not tensors, as columns must be")
        names = [each["as_tensor"]["name"] for each in arguments]
        if single := next((name for name in names if not graph[name]["sizes"]), None):
            raise self._error(f"the input {single!r} is a single value, not one for each row")
        ranges = program["range_constraints"]
        rows = [self._find_batch_size(name, graph[name]["sizes"][0], ranges) for name in names]
        inputs = [self._find_input(name, graph[name], is_named=len(names) > 1) for name in names]
        return inputs, BatchSize.of_all(rows)

    def _find_input(self, name: str, tensor: Mapping[str, Any], *, is_named: bool) -> Input:
        if tensor["dtype"] not in _DTYPES:
            raise self._error(
                f"the input {name!r} has type {tensor['dtype']} of torch's schema, which columns "
                "cannot have"
            )
        shape = tuple(size.get("as_int") for size in tensor["sizes"][1:])
        is_bfloat16 = tensor["dtype"] == _BFLOAT16
        dtype = np.dtype(_DTYPES[tensor["dtype"]])
        return Input(name, shape, dtype, is_named, "bfloat16" if is_bfloat16 else "")

    def _find_batch_size(
        self, name: str, rows: Mapping[str, Any], ranges: Mapping[str, Any]
    ) -> BatchSize:
        if "as_int" in rows:
            return BatchSize(rows["as_int"], rows["as_int"])
        expression = rows["as_expr"]["expr_str"]
        found = _ROWS.fullmatch(expression)
        if found is None:
            raise self._error(
                f"the input {name!r} takes {expression} rows at once: export the program with one "
                "torch.export.Dim for the rows"
            )
        factor = int(found[1] or 1)
        bounds = ranges.get(found[2], {})
        most = bounds.get("max_val")
        return BatchSize(
            max(bounds.get("min_val") or 1, 1) * factor, most and most * factor, factor
        )

    def load_file(self, local: str) -> Any:
        """Return the module on the model's device, as a function of the tensors in order."""
        import torch
        from torch.export.passes import move_to_device_pass

        with tempfile.TemporaryDirectory() as folder:
            moved = rewrite(Path(local), Path(folder) / "moved.pt2", _move_to_cpu)
            program = torch.export.load(moved or local)
        if self.device != "cpu":
            program = move_to_device_pass(program, self.device)
        return _call_in_order(program)

    def run(self, loaded: Any, inputs: Mapping[str, Array]) -> Mapping[str, np.ndarray]:
        """Call the module."""
        return run_torch(loaded, inputs, self._inputs, self.device)


def _move_to_cpu(name: str, content: bytes) -> bytes:
    """Return an archive's member without names of GPUs, which fail on a machine without one."""
    import torch

    if name.endswith(".json"):
        return _DEVICE.sub(b'{"type": "cpu", "index": null}', content)
    if b"cuda" not in content:
        return content
    target = io.BytesIO()
    torch.save(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True), target)
    return target.getvalue()


def _call_in_order(program: Any) -> Callable[..., Any]:
    """Return the module as a function of flat tensors, however its ``forward`` nests them."""
    from torch.export.graph_signature import ConstantArgument, InputKind
    from torch.utils._pytree import tree_unflatten

    module = program.module()
    arguments = [
        each.arg
        for each in program.graph_signature.input_specs
        if each.kind is InputKind.USER_INPUT
    ]

    def call(*tensors: Any) -> Any:
        values = iter(tensors)
        leaves = [
            each.value if isinstance(each, ConstantArgument) else next(values) for each in arguments
        ]
        positional, named = tree_unflatten(leaves, program.call_spec.in_spec)
        return module(*positional, **named)

    return call
