"""The precision of a model: as stored, or lower by torch's autocast.

Autocast runs the operations that tolerate it in the lower precision and the others in float32:
https://docs.pytorch.org/docs/stable/amp.html. torch supports both precisions on the CPU, too.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from template.device import on_device
from template.model import BaseModel
from template.models.file_model import FileModel
from template.parameters import ParameterError
from template.tensors import is_tensor

STORED = "stored"


@dataclass(frozen=True)
class Compute:
    """The device and the precision of a loaded model's ``predict``.

    Attributes:
        device: torch's name of the device, such as "cpu" or "cuda".
        precision: "stored", "bfloat16" or "float16".
    """

    device: str
    precision: str = STORED

    def adopt(self, loaded: object) -> None:
        """Let a loaded torch module return float32 if autocast would return less.

        Later steps, such as softmax, are then as exact as before, and NumPy, which has no
        bfloat16, accepts the outputs. Other objects and TorchScript stay unchanged.
        """
        torch = sys.modules.get("torch")
        if self.precision == STORED or torch is None or not isinstance(loaded, torch.nn.Module):
            return
        if not isinstance(loaded, torch.jit.ScriptModule):  # which accepts no hooks
            loaded.register_forward_hook(_return_float32)

    def reaches(self, model: BaseModel, loaded: object) -> bool:
        """Return whether the precision certainly affects a model, without calling ``predict``."""
        if self.precision == STORED or isinstance(model, FileModel):
            return True  # which the launch has checked
        torch = sys.modules.get("torch")
        return torch is not None and isinstance(loaded, torch.nn.Module)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Apply it to this thread."""
        with on_device(self.device), self._autocast():
            yield

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        if self.precision == STORED:
            yield
            return
        import torch

        kind = self.device.partition(":")[0]
        try:
            with torch.autocast(kind, dtype=getattr(torch, self.precision)):
                yield
        except TypeError as error:
            if "unsupported ScalarType BFloat16" in str(error):
                error.args = (
                    f"{error}: with --precision {self.precision} a tensor may be of bfloat16, "
                    "which NumPy does not have; call .float() before .numpy()",
                )
            raise


def check_precision(precision: str, model: BaseModel) -> None:
    """Check at the launch that a precision reaches the model.

    Raises:
        ParameterError: torch does not run the model, or is not installed.
    """
    if precision == STORED:
        return
    flag = f"--precision {precision!r}"
    if isinstance(model, FileModel) and not model.uses_torch:
        raise ParameterError(
            f"{flag}: --model_path {model.model_path!r} is {model.kind}, which does not run on "
            "torch, and the precision relies on torch's autocast: omit the parameter"
        )
    if importlib.util.find_spec("torch") is None:
        raise ParameterError(
            f"{flag}: torch is not installed here, and the precision relies on torch's autocast: "
            "omit the parameter"
        )


@contextmanager
def watch_torch() -> Iterator[list[bool]]:
    """Yield a list that gets an entry if this thread calls a torch function."""
    from torch.overrides import TorchFunctionMode

    calls: list[bool] = []

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if not calls:
                calls.append(True)
            return func(*args, **(kwargs or {}))

    with Watch():
        yield calls


def _return_float32(module: object, arguments: object, returned: Any) -> Any:
    return _to_float32(returned)


def _to_float32(value: Any) -> Any:
    """Return a value with its 16-bit tensors as float32."""
    if is_tensor(value):
        return value.float() if value.is_floating_point() and value.itemsize == 2 else value
    if is_dataclass(value) and not isinstance(value, type):  # such as Hugging Face's outputs
        made = {each.name: _to_float32(getattr(value, each.name)) for each in fields(value)}
        return replace(value, **made)
    if isinstance(value, Mapping):
        changed = {name: _to_float32(each) for name, each in value.items()}
        return type(value)(changed)  # type: ignore[call-arg]  # as every dict takes it
    if isinstance(value, list | tuple):
        entries = map(_to_float32, value)
        return type(value)(*entries) if hasattr(value, "_fields") else type(value)(entries)
    return value
