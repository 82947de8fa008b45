"""How accelerators are parsed and encoded, and which machines take them."""

from __future__ import annotations

import re
from datetime import date

import pytest

from launcher import Accelerator, InputError
from launcher.accelerators.catalogue import (
    decode_accelerator,
    encode_worker_accelerator,
    find_default_machine,
    find_machine_problem,
    find_machine_type,
    find_type_problem,
    load_catalogue,
)

CASES = [
    (
        "nvidia-l4:1",
        Accelerator("nvidia-l4"),
        "type:nvidia-l4;count:1;install-nvidia-driver:latest",
    ),
    (
        "nvidia-tesla-t4",
        Accelerator("nvidia-tesla-t4", 1),
        "type:nvidia-tesla-t4;count:1;install-nvidia-driver:latest",
    ),
    (
        "nvidia-tesla-a100:2:550",
        Accelerator("nvidia-tesla-a100", 2, "550"),
        "type:nvidia-tesla-a100;count:2;install-nvidia-driver:550",
    ),
    (
        "nvidia-l4:1:default",
        Accelerator("nvidia-l4", 1, "default"),
        "type:nvidia-l4;count:1;install-nvidia-driver",
    ),
    ("nvidia-l4:1:none", Accelerator("nvidia-l4", driver="none"), "type:nvidia-l4;count:1"),
    (
        "nvidia-l4:1:mps",
        Accelerator("nvidia-l4", mps=True),
        "type:nvidia-l4;count:1;install-nvidia-driver:latest;use_nvidia_mps",
    ),
]


@pytest.mark.parametrize(("text", "accelerator", "encoded"), CASES)
def test_read_and_encoded(text, accelerator, encoded):
    assert Accelerator.parse(text) == accelerator
    assert Accelerator.parse(str(accelerator)) == accelerator
    assert encode_worker_accelerator(accelerator) == f"worker_accelerator={encoded}"
    assert decode_accelerator(encoded) == accelerator
    assert decode_accelerator(f"worker_accelerator={encoded}") == accelerator


@pytest.mark.parametrize("text", ["", "NVIDIA L4", "nvidia-l4:0", "nvidia-l4:x:y:z", "a;b"])
def test_another_form_is_refused(text):
    with pytest.raises(InputError, match=r"expected TYPE.*for example nvidia-l4:1"):
        Accelerator.parse(text)


@pytest.mark.parametrize("text", ["count:1", "type:nvidia-l4;count:0", "type:x;install_driver"])
def test_an_unknown_service_option_is_refused(text):
    with pytest.raises(InputError, match="expected type:TYPE;count:N;install-nvidia-driver"):
        decode_accelerator(text)


@pytest.mark.parametrize(
    ("accelerator", "problem"),
    [
        (Accelerator("nvidia-tesla-k80"), "has retired it; the nearest is 'nvidia-tesla-t4'"),
        (Accelerator("nvidia-h200-141gb"), "does not support it; the nearest is 'nvidia-h100-80gb"),
        (
            Accelerator("nvidia-tesla-l4"),
            "no accelerator has this name; the nearest is 'nvidia-l4'",
        ),
        (Accelerator("nvidia-l5"), "no such accelerator; did you mean 'nvidia-l4'?"),
        (Accelerator("tpu-v5"), "no such accelerator. 'flexpack accelerators' lists them"),
        (Accelerator("nvidia-l4", 3), "a worker can have 1, 2, 4 or 8 of them"),
        (Accelerator("nvidia-l4", 2, mps=True), "mps works on workers with a single GPU only"),
    ],
)
def test_what_dataflow_does_not_take_is_refused(accelerator, problem):
    assert problem in (find_type_problem(accelerator) or "")


@pytest.mark.parametrize(
    ("accelerator", "machine", "problem"),
    [
        (Accelerator("nvidia-l4"), "g2-standard-8", None),
        (Accelerator("nvidia-l4"), "n1-standard-4", "1 nvidia-l4 need g2-standard-4, g2-"),
        (Accelerator("nvidia-l4", 2), "g2-standard-8", "2 nvidia-l4 need g2-standard-24"),
        (Accelerator("nvidia-tesla-t4"), "n1-standard-4", None),
        (Accelerator("nvidia-tesla-t4"), "custom-8-30720", None),
        (Accelerator("nvidia-tesla-t4"), "g2-standard-4", "works with N1 machine types only"),
        (Accelerator("nvidia-tesla-t4"), "e2-standard-4", "works with N1 machine types only"),
        (Accelerator("nvidia-tesla-v100"), "n1-standard-16", "at most 12 vCPUs and 78 GB"),
        (Accelerator("nvidia-tesla-p4"), "n1-highmem-32", "and it has 32 and 208 GB"),
        (Accelerator("nvidia-a100-80gb"), "a2-highgpu-1g", "need a2-ultragpu-1g"),
    ],
)
def test_machines_and_accelerators(accelerator, machine, problem):
    found = find_machine_problem(accelerator, machine)
    assert found is None if problem is None else problem in found


def test_the_catalogue_is_dated_and_whole():
    catalogue = load_catalogue()
    assert date.fromisoformat(catalogue.checked) >= date(2026, 11, 22)
    assert all(source.startswith("https://") for source in catalogue.sources)
    names = {gpu.type for gpu in catalogue.accelerators}
    assert len(names) == 10
    for refused in catalogue.refused:
        assert refused.type not in names
        assert refused.instead in names
    majors = {driver.cuda for driver in catalogue.cuda_drivers}
    assert {build.cuda for build in catalogue.torch_builds} <= majors
    for gpu in catalogue.accelerators:
        assert bool(gpu.machines) != bool(gpu.n1_limits), gpu.type
        assert re.fullmatch(r"NVIDIA_[A-Z0-9_]+_GPUS", gpu.quota_metric)


@pytest.mark.parametrize("gpu", load_catalogue().accelerators, ids=lambda gpu: gpu.type)
def test_every_legal_count_has_a_machine_that_fits(gpu):
    for count in gpu.counts:
        accelerator = Accelerator(gpu.type, count)
        machine = find_default_machine(accelerator)
        assert machine is not None
        assert find_machine_problem(accelerator, machine) is None
        assert find_machine_type(machine) is not None


@pytest.mark.parametrize(
    ("build", "gpu", "runs"),
    [
        ("cu130", "nvidia-tesla-t4", True),
        ("cu130", "nvidia-l4", True),  # 8.9 runs kernels of 8.6
        ("cu130", "nvidia-tesla-v100", False),
        ("cu126", "nvidia-tesla-p4", True),
        ("cu126", "nvidia-rtx-pro-6000", False),
    ],
)
def test_which_torch_build_has_kernels_for_which_gpu(build, gpu, runs):
    catalogue = load_catalogue()
    assert catalogue.find_build(build).has_kernels_for(catalogue.find(gpu)) is runs
