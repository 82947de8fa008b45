"""Settings that GPU jobs need and people forget; used unless the user or the template sets them.

Every value is shown by ``flexpack run --dry-run`` and ``flexpack build --print-only``, and a flag
of its own overrides it. The reasons:
https://cloud.google.com/dataflow/docs/gpu/develop-with-gpus
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from launcher.accelerators.catalogue import (
    Accelerator,
    count_vcpus,
    find_default_machine,
    find_machine_problem,
)
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment

# A CUDA image unpacks to about 6 GB, in addition to its compressed 3 GB, logs and the
# model; the documentation asks for at least 50.
MINIMUM_DISK_GB = 50

# What a worker's disk holds besides the image: the system, the driver, logs, the model.
_OTHER_DISK_GB = 25

# The service's own choice, n1-standard-1, has 3.75 GB: too little to import torch and Beam in.
LAUNCHER_MACHINE_TYPE = "e2-standard-2"

# Otherwise every vCPU gets a process, and every process its own model on every GPU.
ONE_PROCESS = "no_use_multiple_sdk_containers"
PARALLELISM_EXPERIMENTS = (ONE_PROCESS, "use_multiple_sdk_containers", "sdk_worker_parallelism")

# Enough to read and decode while a GPU computes; each may hold a batch in memory.
THREADS_OPTION = "number_of_worker_harness_threads"
_MOST_THREADS_PER_GPU = 8


def add_gpu_defaults(
    environment: FlexTemplateRuntimeEnvironment,
    accelerator: Accelerator,
    *,
    base: FlexTemplateRuntimeEnvironment,
    image: str | None,
    on_all_workers: bool,
) -> FlexTemplateRuntimeEnvironment:
    """Return the environment, completed for a GPU job.

    Args:
        environment: what the user requests; never changed.
        base: the template's defaults; kept if they fit the accelerator.
        image: the template's own image, if known.
        on_all_workers: False if only the prediction step has the GPU (right fitting); the
            service then chooses its machine type.
    """
    machine_type = environment.machine_type
    if machine_type is None and on_all_workers:
        keeps = base.machine_type and not find_machine_problem(accelerator, base.machine_type)
        machine_type = None if keeps else find_default_machine(accelerator)
    chosen_machine = machine_type or base.machine_type or ""
    experiments = environment.additional_experiments
    if not accelerator.mps and not _mentions(experiments, PARALLELISM_EXPERIMENTS):
        experiments = (*experiments, ONE_PROCESS)
    options = environment.additional_pipeline_options
    if not accelerator.mps and not _mentions(options, [THREADS_OPTION]):
        most = _MOST_THREADS_PER_GPU * accelerator.count
        threads = min(count_vcpus(chosen_machine) or 4 * accelerator.count, most)
        options = (*options, f"{THREADS_OPTION}={threads}")
    disk_size_gb = environment.disk_size_gb
    if disk_size_gb is None and (base.disk_size_gb or 0) < MINIMUM_DISK_GB:
        disk_size_gb = MINIMUM_DISK_GB
    return replace(
        environment,
        additional_experiments=experiments,
        additional_pipeline_options=options,
        disk_size_gb=disk_size_gb,
        launcher_machine_type=environment.launcher_machine_type
        or (None if base.launcher_machine_type else LAUNCHER_MACHINE_TYPE),
        machine_type=machine_type,
        sdk_container_image=environment.sdk_container_image
        or (None if base.sdk_container_image else image),
    )


def recommend_disk_size_gb(*, compressed_gb: float, unpacked_gb: float) -> int:
    """Return the disk size that an image's workers need, in GB, rounded up to tens.

    It holds the image twice: compressed and unpacked.
    """
    needed_gb = compressed_gb + unpacked_gb + _OTHER_DISK_GB
    return max(MINIMUM_DISK_GB, math.ceil(needed_gb / 10) * 10)


def _mentions(entries: Iterable[str], names: Iterable[str]) -> bool:
    """Return whether they contain ``NAME`` or ``NAME=VALUE``."""
    wanted = frozenset(names)
    return any(entry.partition("=")[0].removeprefix("--") in wanted for entry in entries)
