"""The device contract: a worker's devices, and the meaning of their failures.

``auto`` takes the GPUs on which a first kernel runs; ``cuda`` raises before the first element
unless there is a GPU and all of them are usable; nothing ever falls back from ``cuda`` to the CPU.
Without torch, NVIDIA's driver decides: https://docs.nvidia.com/cuda/cuda-driver-api/. The driver
knows the GPUs, but not whether the model's framework has kernels for them: ``load_model`` or
``predict`` will show that.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from template.dead_letters import describe

# Only functions import torch: a job's launcher imports this module and should not wait for torch.

CPU = "cpu"
CUDA = "cuda"
_BFLOAT16_SINCE = (8, 0)
_DRIVER = "libcuda.so.1"
_DRIVER_VERSION = Path("/proc/driver/nvidia/version")

# Out-of-memory texts of frameworks, in lower case: fewer rows may succeed.
_OUT_OF_MEMORY = (
    *("out of memory", "cublas_status_alloc_failed", "can't allocate memory"),
    *("oom when allocating", "failed to allocate memory"),  # TensorFlow, ONNX Runtime
)
_FRAMEWORKS = ("jaxlib", "onnxruntime", "tensorflow")
# After these errors the driver refuses every call of the process:
# https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html
_LOST_GPU = (
    *("an illegal memory access was encountered", "an illegal instruction was encountered"),
    *("misaligned address", "unspecified launch failure", "device-side assert triggered"),
)

_log = logging.getLogger(__name__)


class DeviceError(RuntimeError):
    """The job requests a GPU, or a precision of it, that this worker does not have."""


@dataclass(frozen=True)
class Gpu:
    """A GPU of this worker, as seen by torch or the driver.

    Attributes:
        device: its name in torch: "cuda" if it is the only one, else "cuda:0" and so on.
        problem: why it is unusable; None if it is usable.
        model: the manufacturer's name for it, if torch reports one.
        capability: its compute capability, if torch reports it.
    """

    device: str
    problem: str | None = None
    model: str = "GPU"
    capability: tuple[int, int] | None = None


def find_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs of this worker, usable or not.

    Raises:
        DeviceError: there are none; the message says why.
    """
    return _find_torch_gpus() if _has_torch() else _find_driver_gpus()


def resolve_devices(
    requested: str,
    precision: str = "stored",
    *,
    gpus: Callable[[], Sequence[Gpu]] = find_gpus,
) -> tuple[str, ...]:
    """Return torch's names of the devices to predict on: the CPU, or each of the worker's GPUs.

    On the CPU torch, if it is installed, gets one thread: Beam runs one process per core, and a
    thread per core in each would only contend.

    Args:
        requested: "auto", "cuda" or "cpu".
        precision: "stored", "bfloat16" or "float16".
        gpus: a function that finds the worker's GPUs.

    Raises:
        DeviceError: ``cuda`` is requested and a GPU is not usable, or there is none; or a GPU
            cannot compute in the precision.
    """
    found: Sequence[Gpu] = ()
    problem = None
    if requested != CPU:
        try:
            found = gpus()
            problem = _join_problems(found)
        except DeviceError as error:
            problem = str(error)
    if requested == CUDA and problem:
        raise DeviceError(_describe_contract(problem, len(found)))
    usable = [gpu for gpu in found if gpu.problem is None]
    for gpu in usable:
        _check_precision(precision, gpu)
    devices = tuple(gpu.device for gpu in usable) or (CPU,)
    has_torch = _has_torch()
    if devices == (CPU,) and has_torch:
        import torch

        torch.set_num_threads(1)
    if usable and not has_torch:
        problem = "the driver has a GPU; only the model's framework knows whether it can use it"
    level = logging.WARNING if usable and len(usable) < len(found) else logging.INFO
    reason = f" ({problem})" if problem else ""
    _log.log(level, "predicting on %s%s; %s", ", ".join(devices), reason, describe_versions())
    return devices


def _join_problems(gpus: Sequence[Gpu]) -> str | None:
    """Return the problems of unusable GPUs, with their names if there are several."""
    if len(gpus) == 1:
        return gpus[0].problem
    return "; ".join(f"{gpu.device}: {gpu.problem}" for gpu in gpus if gpu.problem) or None


def _describe_contract(problem: str, gpus: int) -> str:
    image = " on an image whose torch is built for it" if _has_torch() else ""
    lack = "this worker has no usable GPU"
    if gpus > 1:
        lack = f"not all of the worker's {gpus} GPUs are usable"
    return (
        f"--device cuda: {lack}: {problem}. {describe_versions()}. Launch with an accelerator and "
        f"its driver (--accelerator nvidia-l4:1){image}, or pass --device=cpu."
    )


def _check_precision(precision: str, gpu: Gpu) -> None:
    """Check that a GPU supports a precision; before Ampere bfloat16 is only emulated, slowly."""
    if precision == "bfloat16" and gpu.capability is not None and gpu.capability < _BFLOAT16_SINCE:
        major, minor = gpu.capability
        raise DeviceError(
            f"--precision bfloat16: {gpu.model} ({gpu.device}, compute capability {major}.{minor}) "
            "does not support it. Pass --precision=float16 or omit it, or launch with "
            "--accelerator nvidia-l4:1 or newer."
        )


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
    """Return whether a smaller batch could succeed after this error."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError) and not _is_of_a_framework(error):
        return False
    text = describe(error).lower()
    return any(sign in text for sign in _OUT_OF_MEMORY)


def is_device_failure(error: BaseException) -> bool:
    """Return whether this process has lost the GPU: every later kernel would fail too."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.AcceleratorError):
        return not is_out_of_memory(error)
    return _is_of_a_framework(error) and any(sign in describe(error) for sign in _LOST_GPU)


@contextmanager
def on_device(device: str) -> Iterator[None]:
    """Let torch's "cuda" mean one of several GPUs, in this thread."""
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith(f"{CUDA}:"):
        yield
        return
    with torch.cuda.device(device):
        yield


def release_memory() -> None:
    """Release cached GPU memory, so that a smaller batch fits."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _is_of_a_framework(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in _FRAMEWORKS


def _find_driver_gpus() -> tuple[Gpu, ...]:
    try:
        library = ctypes.CDLL(_DRIVER)
    except OSError:
        raise DeviceError(f"NVIDIA's driver is not here ({_DRIVER} cannot be loaded)") from None
    count = ctypes.c_int()
    for call, arguments in (("cuInit", (0,)), ("cuDeviceGetCount", (ctypes.byref(count),))):
        if code := getattr(library, call)(*arguments):
            name = ctypes.c_char_p()
            library.cuGetErrorName(code, ctypes.byref(name))
            raise DeviceError(f"the driver's {call} failed: {(name.value or b'').decode() or code}")
    if not count.value:
        raise DeviceError("the driver has no GPU")
    return tuple(Gpu(device) for device in _name_devices(count.value))


def _find_torch_gpus() -> tuple[Gpu, ...]:
    import torch

    if torch.version.cuda is None:
        raise DeviceError("this torch is built without CUDA")
    if not torch.cuda.is_available():
        raise DeviceError("torch sees no GPU")
    return tuple(
        Gpu(
            device,
            _find_kernel_problem(device),
            torch.cuda.get_device_name(device),
            torch.cuda.get_device_capability(device),
        )
        for device in _name_devices(torch.cuda.device_count())
    )


def _name_devices(count: int) -> list[str]:
    return [CUDA] if count == 1 else [f"{CUDA}:{number}" for number in range(count)]


def _find_kernel_problem(device: str) -> str | None:
    import torch

    try:
        (torch.ones(1, device=device) + 1).item()
    except RuntimeError as error:  # a GPU without kernels in this torch, or a broken one
        return f"a first kernel failed: {str(error).partition(chr(10))[0]}"
    return None
