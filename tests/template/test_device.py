"""The device contract, on whatever machine the tests run."""

import pytest
import torch

from template.device import (
    DeviceError,
    describe_versions,
    is_device_failure,
    is_out_of_memory,
    release_memory,
    resolve_device,
)

NO_GPU = not torch.cuda.is_available()


def test_cpu_is_cpu_with_one_thread():
    assert resolve_device("cpu") == "cpu"
    assert torch.get_num_threads() == 1


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU")
def test_without_a_gpu_auto_is_cpu_and_cuda_is_an_error():
    assert resolve_device("auto") == "cpu"
    with pytest.raises(DeviceError) as info:
        resolve_device("cuda")
    message = str(info.value)
    assert message.startswith("--device cuda: this worker has no usable GPU: ")
    assert f"torch: {torch.__version__}" in message
    assert f"CUDA: {torch.version.cuda}" in message
    assert "NVIDIA driver: " in message
    assert "--accelerator" in message


@pytest.mark.skipif(NO_GPU, reason="this machine has no GPU")
def test_with_a_gpu_auto_and_cuda_take_it():
    assert resolve_device("auto") == resolve_device("cuda") == "cuda"


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
