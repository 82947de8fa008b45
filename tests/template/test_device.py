"""The device contract, on whatever machine the tests run."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from template.device import (
    DeviceError,
    describe_versions,
    is_device_failure,
    is_out_of_memory,
    release_memory,
    resolve_devices,
)
from tests.support import PROJECT_ROOT

NO_GPU = not torch.cuda.is_available()


def test_cpu_is_cpu_with_one_thread():
    assert resolve_devices("cpu") == ("cpu",)
    assert torch.get_num_threads() == 1


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU")
def test_without_a_gpu_auto_is_cpu_and_cuda_is_an_error():
    assert resolve_devices("auto") == ("cpu",)
    with pytest.raises(DeviceError) as info:
        resolve_devices("cuda")
    message = str(info.value)
    assert message.startswith("--device cuda: this worker has no usable GPU: ")
    assert f"torch: {torch.__version__}" in message
    assert f"CUDA: {torch.version.cuda}" in message
    assert "NVIDIA driver: " in message
    assert "--accelerator" in message


@pytest.mark.skipif(NO_GPU, reason="this machine has no GPU")
def test_with_a_gpu_auto_and_cuda_take_it():
    assert resolve_devices("auto") == resolve_devices("cuda")
    assert resolve_devices("cuda")[0].startswith("cuda")


def test_versions_name_all_three():
    assert torch.__version__ in describe_versions()


def test_kinds_of_errors_are_distinguished():
    lost = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    full = torch.AcceleratorError("CUDA error: out of memory")
    assert is_device_failure(lost)
    assert not is_out_of_memory(lost)
    assert is_out_of_memory(full)
    assert not is_device_failure(full)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert is_out_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as info:
        torch.empty(1 << 60)
    assert is_out_of_memory(info.value)
    assert not is_out_of_memory(ValueError("out of memory"))
    release_memory()


@pytest.mark.parametrize(
    ("module", "text", "kind"),
    [
        ("onnxruntime.capi", "Failed to allocate memory for requested buffer of size 9", "full"),
        ("tensorflow.python.framework.errors_impl", "OOM when allocating tensor", "full"),
        ("jaxlib", "RESOURCE_EXHAUSTED: Out of memory while trying to allocate", "full"),
        ("tensorflow", "CUDA_ERROR: an illegal memory access was encountered", "lost"),
        ("onnxruntime.capi", "CUDA failure 719: unspecified launch failure", "lost"),
        ("onnxruntime.capi", "Invalid rank for input: x", "neither"),
        ("google.api_core.exceptions", "out of memory", "neither"),
    ],
)
def test_errors_of_other_frameworks(module, text, kind):
    error = type("Error", (Exception,), {"__module__": module})(text)
    assert is_out_of_memory(error) == (kind == "full")
    assert is_device_failure(error) == (kind == "lost")


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # importing it fails
from template import device
device.release_memory()
try:
    print(",".join(device.resolve_devices(sys.argv[1])))
except device.DeviceError as error:
    print(error)
"""

# A library with the part of NVIDIA's driver that is called: it reports a number of GPUs, or an
# error.
DRIVER = """
int cuInit(unsigned flags) { return ERROR; }
int cuDeviceGetCount(int *count) { *count = GPUS; return 0; }
int cuGetErrorName(int code, const char **name) { *name = "CUDA_ERROR_NO_DEVICE"; return 0; }
"""


@pytest.mark.parametrize(
    ("gpus", "code", "requested", "answer"),
    [
        (1, 0, "cuda", "cuda"),
        (1, 0, "auto", "cuda"),
        (3, 0, "cuda", "cuda:0,cuda:1,cuda:2"),
        (1, 0, "cpu", "cpu"),
        (0, 0, "auto", "cpu"),
        (0, 0, "cuda", "no usable GPU: the driver has no GPU. "),
        (0, 100, "cuda", "no usable GPU: the driver's cuInit failed: CUDA_ERROR_NO_DEVICE. "),
    ],
    ids=["cuda", "auto", "three", "cpu", "auto-no-gpu", "cuda-no-gpu", "cuda-driver-fails"],
)
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_without_torch_the_driver_decides(tmp_path, gpus, code, requested, answer):
    source, library = tmp_path / "driver.c", tmp_path / "libcuda.so.1"
    source.write_text(DRIVER)
    flags = ["-shared", "-fPIC", f"-DGPUS={gpus}", f"-DERROR={code}"]
    subprocess.run(["cc", *flags, source, "-o", library], check=True, timeout=60)
    found = resolve_without_torch(requested, {"LD_LIBRARY_PATH": str(tmp_path)})
    assert answer in found
    if "no usable GPU" in answer:
        assert "torch: not installed" in found
        assert "pass --device=cpu" in found
        assert "whose torch" not in found


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU")
def test_without_torch_and_driver_auto_is_cpu_and_cuda_is_an_error():
    assert resolve_without_torch("auto", {}) == "cpu"
    error = resolve_without_torch("cuda", {})
    assert "no usable GPU: NVIDIA's driver is not here (libcuda.so.1 cannot be loaded)" in error


def resolve_without_torch(requested: str, variables: dict[str, str]) -> str:
    """Return the device that a process without torch finds, or its error."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, requested],
        cwd=PROJECT_ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()
