"""The GPU benchmark's own code, on the CPU: its sides, its clock, its use of NVIDIA's library."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.gpu import bench
from tests.gpu.clock import Clock, find_busy_reader
from tests.gpu.obstacle import find_gpu_obstacle
from tests.gpu.workloads import make_resnet
from tests.support import PROJECT_ROOT, run

# A stand-in for the functions of NVIDIA's management library that are called: one GPU, 73 percent
# busy.
NVML = """
struct utilization { unsigned gpu, memory; };
int nvmlInit_v2(void) { return CODE; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = (void *)7; return 0; }
int nvmlDeviceGetUtilizationRates(void *device, struct utilization *found) {
    found->gpu = 73;
    return device == (void *)7 ? 0 : 2;
}
"""


@pytest.mark.wide
def test_the_benchmark_runs_on_a_cpu(tmp_path):
    result = tmp_path / "gpu.json"
    small = ["--device=cpu", "--small", "--workloads", "mlp", "--precisions", "bfloat16"]
    program = (sys.executable, "-m", "tests.gpu.bench")
    flags = (*small, "--threads=2", f"--json={result}")
    done = run(*program, *flags, env=os.environ, timeout_sec=400)
    document = json.loads(result.read_text())
    assert document["machine"]["versions"]["torch"] == torch.__version__
    sides = document["results"]["mlp"]["bfloat16"]
    assert list(sides) == ["raw", "flexpack", "per_element"]
    assert all(side["rows_per_sec"] > 0 and side["gpu_busy"] is None for side in sides.values())
    assert sides["flexpack"]["rows_written"] == sides["raw"]["rows"] == 3000
    assert sides["flexpack"]["same_values"] > 0.9
    assert sides["flexpack"]["of_raw"] == pytest.approx(
        sides["flexpack"]["rows_per_sec"] / sides["raw"]["rows_per_sec"]
    )
    assert "mlp           bfloat16  flexpack" in done.stdout
    assert "mlp bfloat16 raw: " in done.stderr


FAILING = """
import sys
from pathlib import Path
from tests.gpu.bench import measure
from tests.gpu.sides import Run
run = Run(
    workload="mlp",
    device="cpu",
    precision="stored",
    threads=1,
    batch_size=256,
    rows_per_element=9,
    images=Path("nothing"),
    output=Path(sys.argv[1]),
)
for seconds in (0.001, 300):
    print(measure("raw", run, seconds)["error"])
"""


@pytest.mark.wide
def test_a_side_that_hangs_or_fails_says_so(tmp_path):
    done = run(sys.executable, "-c", FAILING, str(tmp_path), env=os.environ, timeout_sec=400)
    assert done.stdout.startswith("took longer than 0 s\nTraceback (most recent call last):\n")
    assert done.stdout.endswith("No such file or directory: 'nothing'\n")


UNTOUCHED = """
import torch
def touch(*arguments):
    raise SystemExit("CUDA is touched")
torch.cuda._lazy_init = torch.cuda.is_available = torch.cuda.device_count = touch
import tests.gpu.sides
print("untouched")
"""


def test_what_the_sides_fork_from_touches_no_cuda():
    """After that CUDA would refuse to work in a forked process."""
    done = run(sys.executable, "-c", UNTOUCHED, env=os.environ, timeout_sec=200)
    assert done.stdout == "untouched\n"


def find_descendants(pid):
    """Return the command lines of a process's descendants, by their ids."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        found |= find_descendants(child)
    return found


def test_what_was_found_stays_if_a_step_is_killed(tmp_path):
    result = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "tests.gpu.everything", str(result), "--device=cpu"]
    log = (tmp_path / "log").open("w")
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=log, stderr=log) as process:
        try:
            document = wait_for(result, process, lambda found: found["tests"]["passed"])
            assert document["results"] == {}
            (tests,) = (p for p, line in find_descendants(process.pid).items() if "pytest" in line)
            os.kill(tests, signal.SIGKILL)
            document = wait_for(result, process, lambda found: found["results"].get("mlp"))
            assert document["tests_stopped"] == "pytest ended with -9"
            assert document["results"]["mlp"]["stored"]["raw"]["rows"] == 3000
        finally:
            process.kill()
    assert json.loads(result.read_text())["tests"]["passed"]
    assert "test_no_copy_of_the_weights_is_left_behind PASSED" in Path(log.name).read_text()


def wait_for(result, process, condition):
    """Return the written results as soon as they meet a condition."""
    for _ in range(3000):
        document = json.loads(result.read_text()) if result.exists() else {}
        if document and condition(document):
            return document
        assert process.poll() is None
        time.sleep(0.1)
    raise TimeoutError


@pytest.mark.skipif(find_gpu_obstacle() is None, reason="this machine has a GPU")
def test_without_a_gpu_it_says_why_it_is_skipped(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench"])
    assert bench.main() == 0
    assert capsys.readouterr().out.startswith("skipped: torch ")


def test_the_network_has_the_size_of_resnet_50():
    count = sum(weights.numel() for weights in make_resnet().parameters())
    assert count == 25_557_032 - 2 * 64 * 7 * 7  # of which two of three channels are omitted


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_busy_share_is_read_from_nvidias_library(tmp_path):
    assert find_busy_reader("libnothing.so.1") is None
    for name, code in (("fails", 9), ("works", 0)):
        (tmp_path / "nvml.c").write_text(NVML)
        library = tmp_path / f"{name}.so"
        compile_it = ["cc", "-shared", "-fPIC", f"-DCODE={code}", tmp_path / "nvml.c"]
        subprocess.run([*compile_it, "-o", library], check=True, timeout=60)
    assert find_busy_reader(str(tmp_path / "fails.so")) is None
    read = find_busy_reader(str(tmp_path / "works.so"))
    assert read() == 73


def test_the_clock_counts_from_the_first_pass_to_the_last():
    clock = Clock()
    time.sleep(0.05)
    began = time.monotonic()
    clock.begin()
    time.sleep(0.1)
    clock.end(30)
    clock.begin()
    clock.end(20)
    elapsed = time.monotonic() - began
    time.sleep(0.05)
    figures = clock.figures()
    assert figures["rows"] == 50
    assert 0.1 <= figures["predict_sec"] <= elapsed
    assert figures["rows_per_sec"] == pytest.approx(50 / figures["predict_sec"])
