"""The device contract: which device a worker predicts on, and what its failures mean.

``auto`` takes the GPU if a first kernel runs on it; ``cuda`` without a usable GPU raises before
the first element; nothing ever falls back from ``cuda`` to the CPU.
"""

from __future__ import annotations

import gc
import logging
from pathlib import Path

from template.dead_letters import describe

# Each function imports torch: the launcher of a job comes by here, and would wait for it.

CPU = "cpu"
CUDA = "cuda"
_DRIVER_VERSION = Path("/proc/driver/nvidia/version")

_log = logging.getLogger(__name__)


class DeviceError(RuntimeError):
    """The job asks for a GPU and this worker has no usable one."""


def resolve_device(requested: str) -> str:
    """Return "cuda" or "cpu" for ``auto``, ``cuda`` or ``cpu``, on this worker.

    On the CPU torch gets one thread: Beam runs one process per core, and every process with a
    thread per core would only contend.

    Raises:
        DeviceError: ``cuda`` is requested and no GPU is usable.
    """
    problem = None if requested == CPU else _find_cuda_problem()
    if requested == CUDA and problem:
        raise DeviceError(
            f"--device cuda: this worker has no usable GPU: {problem}. {describe_versions()}. "
            "Launch with an accelerator and its driver (--accelerator nvidia-l4:1) on an image "
            "whose torch is built for it, or pass --device=cpu."
        )
    device = CPU if requested == CPU or problem else CUDA
    if device == CPU:
        import torch

        torch.set_num_threads(1)
    _log.info(
        "predicting on %s%s; %s", device, f" ({problem})" if problem else "", describe_versions()
    )
    return device


def describe_versions() -> str:
    """Return the versions of NVIDIA driver, CUDA and torch as one phrase."""
    import torch

    driver = "none found"
    if _DRIVER_VERSION.exists():
        driver = _DRIVER_VERSION.read_text().partition("\n")[0].removeprefix("NVRM version: ")
    return f"NVIDIA driver: {driver}; CUDA: {torch.version.cuda}; torch: {torch.__version__}"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether a smaller batch could have succeeded where this error was raised."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        sign in describe(error)
        for sign in ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "can't allocate memory")
    )


def is_device_failure(error: BaseException) -> bool:
    """Tell whether the GPU is lost to this process: every later kernel would fail as well."""
    import torch

    return isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error)


def release_memory() -> None:
    """Give cached GPU memory back, so that a smaller batch finds room."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _find_cuda_problem() -> str | None:
    import torch

    if torch.version.cuda is None:
        return "this torch is built without CUDA"
    if not torch.cuda.is_available():
        return "torch sees no GPU"
    try:
        (torch.ones(1, device=CUDA) + 1).item()
    except RuntimeError as error:  # a GPU for which this torch has no kernels, or a broken one
        return f"a first kernel failed: {str(error).partition(chr(10))[0]}"
    return None
