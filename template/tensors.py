"""Recognizes torch's tensors without importing torch, which costs a launcher a second."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeGuard

    import torch


def is_tensor(value: object) -> TypeGuard[torch.Tensor]:
    """Say whether a value is a tensor; nothing is where torch was not imported."""
    # Another thread may be importing it at this moment.
    return isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ()))
