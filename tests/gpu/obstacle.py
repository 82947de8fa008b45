"""Finds why this machine has no CUDA device to test or measure on."""

from __future__ import annotations


def find_gpu_obstacle() -> str | None:
    """Return the reason; None if there is a device."""
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    return None if torch.cuda.is_available() else "torch sees no CUDA device"
