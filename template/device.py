"""The device contract: which device a worker predicts on, and what its failures mean.

``auto`` takes the GPU if a first kernel runs on it; ``cuda`` without a usable GPU raises before
the first element; nothing ever falls back from ``cuda`` to the CPU. Without torch NVIDIA's driver
decides: https://docs.nvidia.com/cuda/cuda-driver-api/. It knows which GPUs are there, and not
whether the model's framework has kernels for them: that shows in ``load_model`` or ``predict``.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import logging
import sys
from pathlib import Path

from template.dead_letters import describe

# torch is imported in functions only: the launcher of a job comes by here, and would wait for it.

CPU = "cpu"
CUDA = "cuda"
_DRIVER = "libcuda.so.1"
_DRIVER_VERSION = Path("/proc/driver/nvidia/version")

# What frameworks say if fewer rows could have been predicted, in lower case.
_OUT_OF_MEMORY = (
    *("out of memory", "cublas_status_alloc_failed", "can't allocate memory"),
    *("oom when allocating", "failed to allocate memory"),  # TensorFlow, ONNX Runtime
)
_FRAMEWORKS = ("jaxlib", "onnxruntime", "tensorflow")
# After these the driver refuses every call of the process:
# https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html
_LOST_GPU = (
    *("an illegal memory access was encountered", "an illegal instruction was encountered"),
    *("misaligned address", "unspecified launch failure", "device-side assert triggered"),
)

_log = logging.getLogger(__name__)


class DeviceError(RuntimeError):
    """The job asks for a GPU and this worker has no usable one."""


def resolve_device(requested: str) -> str:
    """Return "cuda" or "cpu" for ``auto``, ``cuda`` or ``cpu``, on this worker.

    On the CPU torch, if it is installed, gets one thread: Beam runs one process per core, and every
    process with a thread per core would only contend.

    Raises:
        DeviceError: ``cuda`` is requested and no GPU is usable.
    """
    has_torch = _has_torch()
    find_problem = _find_torch_problem if has_torch else _find_driver_problem
    problem = None if requested == CPU else find_problem()
    if requested == CUDA and problem:
        image = " on an image whose torch is built for it" if has_torch else ""
        raise DeviceError(
            f"--device cuda: this worker has no usable GPU: {problem}. {describe_versions()}. "
            f"Launch with an accelerator and its driver (--accelerator nvidia-l4:1){image}, or "
            "pass --device=cpu."
        )
    device = CPU if requested == CPU or problem else CUDA
    if device == CPU and has_torch:
        import torch

        torch.set_num_threads(1)
    if device == CUDA and not has_torch:
        problem = "the driver has a GPU; whether the model's framework can use it, it must find out"
    _log.info(
        "predicting on %s%s; %s", device, f" ({problem})" if problem else "", describe_versions()
    )
    return device


def describe_versions() -> str:
    """Return the versions of NVIDIA driver, CUDA and torch as one phrase."""
    driver = "none found"
    if _DRIVER_VERSION.exists():
        driver = _DRIVER_VERSION.read_text().partition("\n")[0].removeprefix("NVRM version: ")
    if not _has_torch():
        return f"NVIDIA driver: {driver}; torch: not installed"
    import torch

    return f"NVIDIA driver: {driver}; CUDA: {torch.version.cuda}; torch: {torch.__version__}"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether a smaller batch could have succeeded where this error was raised."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError) and not _is_of_a_framework(error):
        return False
    text = describe(error).lower()
    return any(sign in text for sign in _OUT_OF_MEMORY)


def is_device_failure(error: BaseException) -> bool:
    """Tell whether the GPU is lost to this process: every later kernel would fail as well."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.AcceleratorError):
        return not is_out_of_memory(error)
    return _is_of_a_framework(error) and any(sign in describe(error) for sign in _LOST_GPU)


def release_memory() -> None:
    """Give cached GPU memory back, so that a smaller batch finds room."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _is_of_a_framework(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in _FRAMEWORKS


def _find_driver_problem() -> str | None:
    """Return why NVIDIA's driver has no GPU for this process, or None if it has one."""
    try:
        library = ctypes.CDLL(_DRIVER)
    except OSError:
        return f"NVIDIA's driver is not here ({_DRIVER} cannot be loaded)"
    count = ctypes.c_int()
    for call, arguments in (("cuInit", (0,)), ("cuDeviceGetCount", (ctypes.byref(count),))):
        if code := getattr(library, call)(*arguments):
            name = ctypes.c_char_p()
            library.cuGetErrorName(code, ctypes.byref(name))
            return f"the driver's {call} failed: {(name.value or b'').decode() or code}"
    return None if count.value else "the driver has no GPU"


def _find_torch_problem() -> str | None:
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
