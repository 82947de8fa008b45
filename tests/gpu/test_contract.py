"""The device contract on a GPU: usable, hidden, with a broken driver, and lost."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from template.device import find_gpus, resolve_devices

pytestmark = pytest.mark.cuda
PROJECT_ROOT = Path(__file__).parents[2]

# A driver that fails in every call.
BROKEN = "int cuInit(unsigned flags) { return 999; }"

RESOLVE = """
from template.device import DeviceError, resolve_devices
print(*resolve_devices("auto"))
try:
    resolve_devices("cuda")
except DeviceError as error:
    print(error)
"""

LOSE = """
import torch
from template.device import is_device_failure, is_out_of_memory
def judge(call):
    try:
        call()
        torch.cuda.synchronize()
    except RuntimeError as error:
        print(is_device_failure(error), is_out_of_memory(error), type(error).__name__)
judge(lambda: torch.empty(1 << 50, device="cuda"))
table = torch.zeros(2, device="cuda")
judge(lambda: table[torch.tensor([9], device="cuda")])
judge(lambda: torch.ones(1, device="cuda") + 1)
"""


def run_python(program, **variables):
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.splitlines()


def test_every_gpu_is_found_and_usable():
    gpus = find_gpus()
    assert len(gpus) == torch.cuda.device_count()
    assert [gpu.problem for gpu in gpus] == [None] * len(gpus)
    assert gpus[0].model == torch.cuda.get_device_name(0)
    assert resolve_devices("cuda") == resolve_devices("auto") == tuple(gpu.device for gpu in gpus)


def test_a_hidden_gpu_is_an_error_of_cuda_and_leaves_auto_the_cpu():
    device, error = run_python(RESOLVE, CUDA_VISIBLE_DEVICES="")
    assert device == "cpu"
    assert error.startswith("--device cuda: this worker has no usable GPU: torch sees no GPU. ")
    assert f"CUDA: {torch.version.cuda}" in error


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_broken_driver_is_an_error_of_cuda_and_leaves_auto_the_cpu(tmp_path):
    (tmp_path / "driver.c").write_text(BROKEN)
    library = tmp_path / "libcuda.so.1"
    compile_it = ["cc", "-shared", "-fPIC", tmp_path / "driver.c", "-o", library]
    subprocess.run(compile_it, check=True, timeout=60)
    before = os.environ.get("LD_LIBRARY_PATH", "")
    device, error = run_python(RESOLVE, LD_LIBRARY_PATH=f"{tmp_path}:{before}")
    assert device == "cpu"
    assert error.startswith("--device cuda: this worker has no usable GPU: ")


def test_a_lost_gpu_is_told_from_a_full_one():
    full, lost, later = run_python(LOSE)
    assert full.startswith("False True")
    assert lost.startswith("True False")
    assert later.startswith("True False")
