"""Recognizes and moves torch tensors without importing torch, which costs a launcher a second."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeGuard

    import torch


def is_tensor(value: object) -> TypeGuard[torch.Tensor]:
    """Return whether a value is a tensor; without torch imported, nothing is."""
    # Another thread may be importing it at this moment.
    return isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ()))


def to_device(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """Return a tensor on a device; it moves to a GPU from pinned memory, without waiting.

    Move small types, such as bytes of pixels, and cast them on the device.
    """
    if device.startswith("cuda") and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
