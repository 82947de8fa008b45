"""Checks the GPUs that a job requests against its machines, driver, image and parameters.

Rules: https://cloud.google.com/dataflow/docs/gpu/gpu-support and the catalogue in
``launcher.accelerators.catalogue``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from launcher.accelerators.catalogue import (
    DEFAULT_DRIVER,
    LATEST_DRIVER,
    NO_DRIVER,
    WORKER_ACCELERATOR,
    Accelerator,
    count_vcpus,
    decode_accelerator,
    encode_worker_accelerator,
    find_built_in,
    find_default_machine,
    find_machine_problem,
    find_type_problem,
    load_catalogue,
)
from launcher.accelerators.gpu_defaults import LAUNCHER_MACHINE_TYPE, MINIMUM_DISK_GB, ONE_PROCESS
from launcher.errors import InputError
from launcher.finding import (
    GPU_CAPABILITY,
    GPU_DISK,
    GPU_DRIVER,
    GPU_FLEXRS,
    GPU_IDLE,
    GPU_MACHINE,
    GPU_MISSING,
    GPU_MPS,
    GPU_NOT_ASKED,
    GPU_PLACEMENT,
    GPU_PRECISION,
    GPU_PROCESSES,
    GPU_SECURE_BOOT,
    GPU_SYNTAX,
    GPU_TORCH_CPU,
    GPU_TWICE,
    GPU_TYPE,
    GPU_UNUSED,
    GPU_ZONE,
    LAUNCHER_SMALL,
    Finding,
    error,
    hint,
    warning,
)
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.launch.request import HINT_PARAMETER

_SERVICE_OPTIONS = ("dataflow_service_options", "dataflow_service_option", "experiments")


def find_accelerator(
    environment: FlexTemplateRuntimeEnvironment, parameters: Mapping[str, str]
) -> Accelerator | None:
    """Return the GPU of a job's workers or of its prediction step; None if it cannot be read."""
    for text in (*_service_options(environment), parameters.get(HINT_PARAMETER, "")):
        try:
            return decode_accelerator(text)
        except InputError:
            continue
    return None


def count_sdk_processes(environment: FlexTemplateRuntimeEnvironment) -> int | None:
    """Return how many SDK processes, each with its model, a worker starts; None if unknown."""
    if ONE_PROCESS in environment.additional_experiments:
        return 1
    for experiment in environment.additional_experiments:
        name, _, value = experiment.partition("=")
        if name == "sdk_worker_parallelism" and value.isdecimal() and int(value):
            return int(value)
    return count_vcpus(environment.machine_type) if environment.machine_type else None


def check_accelerator(
    environment: FlexTemplateRuntimeEnvironment,
    parameters: Mapping[str, str],
    *,
    torch_build: str | None = None,
    default: FlexTemplateRuntimeEnvironment | None = None,
) -> Iterator[Finding]:
    """Yield the problems of a job's GPUs.

    Args:
        environment: the job's: the launch's environment over the template's.
        default: the template's own.
        torch_build: the flavour of torch in the image, for example ``cu130``, if known.
    """
    options = _service_options(environment)
    right_fitting = parameters.get(HINT_PARAMETER)
    hints = [right_fitting] if right_fitting else []
    if len(options) > 1 or (options and right_fitting):
        yield error(
            GPU_TWICE,
            f"the accelerator is given {len(options) + bool(right_fitting)} times: "
            + ", ".join([*options, *(f"{HINT_PARAMETER}={each}" for each in hints)]),
            "Keep one: --accelerator for all workers, with --right-fitting for the prediction "
            "step alone.",
        )
    elif right_fitting:
        yield from _check_right_fitting(environment, default)
    if not options and not right_fitting:
        yield from _check_without(environment, parameters)
        return
    yield from _check_placement(environment)
    for text in (*options, *hints):
        try:
            accelerator = decode_accelerator(text)
        except InputError as problem:
            yield error(GPU_SYNTAX, str(problem), "Let --accelerator write it.")
        else:
            yield from _check_one(accelerator, environment, on_all_workers=bool(options))
            yield from _check_driver(accelerator, torch_build)
            yield from _check_precision(accelerator, parameters.get("precision"))
    yield from _check_surroundings(environment, parameters)


def _service_options(environment: FlexTemplateRuntimeEnvironment) -> list[str]:
    """Return every ``worker_accelerator=...``, from every option that can hold one."""
    entries = [*environment.additional_experiments]
    for option in environment.additional_pipeline_options:
        name, _, value = option.removeprefix("--").partition("=")
        if name in _SERVICE_OPTIONS:
            entries += value.split(",")
    return [entry for entry in entries if entry.startswith(f"{WORKER_ACCELERATOR}=")]


def _check_without(
    environment: FlexTemplateRuntimeEnvironment, parameters: Mapping[str, str]
) -> Iterator[Finding]:
    machine = environment.machine_type
    built_in = find_built_in(machine) if machine else None
    if built_in:
        gpu, count = built_in
        accelerator = Accelerator(gpu.type, count)
        yield error(
            GPU_NOT_ASKED,
            f"--worker-machine-type {machine}: has {count} {gpu.type} built in, and Compute "
            "Engine does not create it unless the job requests them",
            f"Add --accelerator {accelerator}, which sends "
            f"{encode_worker_accelerator(accelerator)}.",
        )
    elif parameters.get("device") in ("cuda", "GPU"):
        yield error(
            GPU_MISSING,
            f"--parameters device={parameters['device']}: the job requests no accelerator, so no "
            "worker has a GPU",
            "Add --accelerator nvidia-l4:1, or pass --parameters device=cpu.",
        )


def _check_right_fitting(
    environment: FlexTemplateRuntimeEnvironment, default: FlexTemplateRuntimeEnvironment | None
) -> Iterator[Finding]:
    """Yield options that give GPUs to all steps and contradict the prediction step's hint."""
    if default and (options := _service_options(default)):
        yield error(
            GPU_TWICE,
            f"the template requests {', '.join(options)} on all workers, and the launch a GPU "
            "of the prediction step only; whether a launch can revoke a template's experiments "
            "is not documented",
            "Launch a template that was built without --accelerator, or omit --right-fitting.",
        )
    elif environment.machine_type and find_built_in(environment.machine_type):
        yield error(
            GPU_NOT_ASKED,
            f"--worker-machine-type {environment.machine_type}: has GPUs built in, but with right "
            "fitting the workers of the other steps request no GPU",
            "Omit the flag: the prediction step's workers get a machine type that fits.",
        )


def _check_placement(environment: FlexTemplateRuntimeEnvironment) -> Iterator[Finding]:
    for option in environment.additional_pipeline_options:
        if f"{WORKER_ACCELERATOR}=" in option:
            yield warning(
                GPU_PLACEMENT,
                f"--additional-pipeline-options {option}: it is not documented that a "
                "Flex Template reads an accelerator from there",
                "Pass it as --accelerator, which puts it into additionalExperiments.",
            )


def _check_one(
    accelerator: Accelerator, environment: FlexTemplateRuntimeEnvironment, *, on_all_workers: bool
) -> Iterator[Finding]:
    if problem := find_type_problem(accelerator):
        yield error(GPU_TYPE, f"--accelerator '{accelerator}': {problem}", "Take another.")
        return
    machine = environment.machine_type
    if machine and on_all_workers and (problem := find_machine_problem(accelerator, machine)):
        yield error(
            GPU_MACHINE,
            f"--worker-machine-type {machine}: {problem}",
            f"Omit the flag, or use {find_default_machine(accelerator)}.",
        )
    if not machine and on_all_workers:
        yield error(
            GPU_MACHINE,
            f"--accelerator '{accelerator}': no worker machine type is given, and Dataflow's "
            "default machine takes no GPU",
            f"Add --worker-machine-type {find_default_machine(accelerator)}.",
        )
    if accelerator.mps and ONE_PROCESS in environment.additional_experiments:
        yield error(
            GPU_MPS,
            f"mps and {ONE_PROCESS}: MPS shares the GPU between processes, and there is only one",
            "Remove one of the two.",
        )
    processes = count_sdk_processes(environment)
    if not accelerator.mps and processes and processes > 1:
        gpus = f"each of {accelerator.count} GPUs" if accelerator.count > 1 else "the one GPU"
        yield warning(
            GPU_PROCESSES,
            f"{machine or 'the worker'} starts {processes} SDK processes, and each loads its own "
            f"model onto {gpus}",
            f"Add --additional-experiments {ONE_PROCESS}, or share the GPU with :mps.",
        )
    if accelerator.count > 1 and processes == 1:
        yield hint(
            GPU_IDLE,
            f"--accelerator '{accelerator}': one SDK process predicts on {accelerator.count} GPUs, "
            "with a copy of the model on each; how busy it keeps them has not been measured",
            f"Compare a run of it with --accelerator {accelerator.type}:1 and more workers.",
        )


def _check_precision(accelerator: Accelerator, precision: str | None) -> Iterator[Finding]:
    gpu = load_catalogue().find(accelerator.type)
    if gpu and precision == "bfloat16" and not gpu.has_bfloat16:
        yield error(
            GPU_PRECISION,
            f"--parameters precision=bfloat16: {gpu.type} (compute capability "
            f"{gpu.compute_capability}) does not support it, and the workers would refuse it",
            "Use precision=float16, omit it, or use nvidia-l4 or newer.",
        )


def _check_driver(accelerator: Accelerator, torch_build: str | None) -> Iterator[Finding]:
    catalogue = load_catalogue()
    if accelerator.driver == NO_DRIVER:
        yield error(
            GPU_DRIVER,
            f"--accelerator '{accelerator}': installs no NVIDIA driver, so CUDA finds no GPU",
            f"Use --accelerator {accelerator.type}:{accelerator.count}.",
        )
    gpu = catalogue.find(accelerator.type)
    build = catalogue.find_build(torch_build) if torch_build else None
    if torch_build == "cpu":
        yield error(
            GPU_TORCH_CPU,
            f"--accelerator '{accelerator}': the image's torch is built without CUDA",
            "Install a CUDA build of torch in the image.",
        )
    if build is None or gpu is None:
        return
    if not build.has_kernels_for(gpu):
        yield error(
            GPU_CAPABILITY,
            f"--accelerator '{accelerator}': compute capability {gpu.compute_capability}, but the "
            f"image's torch ({build.build}) holds kernels for "
            f"{', '.join(build.compute_capabilities)}",
            "Use another accelerator, or build the image with another CUDA flavour of torch.",
        )
    minimum = catalogue.find_minimum_driver(build.cuda)
    version = _driver_branch(accelerator.driver)
    if minimum and version and version < minimum:
        found = warning if accelerator.driver == DEFAULT_DRIVER else error
        yield found(
            GPU_DRIVER,
            f"--accelerator '{accelerator}': driver {version}, but the image's torch "
            f"({build.build}, CUDA {build.cuda}) needs {minimum} or newer",
            f"Use --accelerator {accelerator.type}:{accelerator.count}:{LATEST_DRIVER}.",
        )


def _driver_branch(driver: str) -> int | None:
    if driver == DEFAULT_DRIVER:
        return load_catalogue().default_driver.version
    major = driver.partition(".")[0]
    return int(major) if major.isdecimal() else None


def _check_surroundings(
    environment: FlexTemplateRuntimeEnvironment, parameters: Mapping[str, str]
) -> Iterator[Finding]:
    options = [*environment.additional_experiments, *environment.additional_pipeline_options]
    if parameters.get("device") == "cpu":
        yield warning(
            GPU_UNUSED,
            "--parameters device=cpu: the job pays for GPUs and predicts on the CPU",
            "Remove --accelerator, or the parameter.",
        )
    if (environment.disk_size_gb or 0) < MINIMUM_DISK_GB:
        given = environment.disk_size_gb or "the service's default of about 25"
        yield warning(
            GPU_DISK,
            f"--disk-size-gb {given}: a CUDA image fills it while being unpacked",
            f"Use --disk-size-gb {MINIMUM_DISK_GB} or more.",
        )
    zone = environment.worker_zone or environment.zone
    if zone:
        yield warning(
            GPU_ZONE,
            f"--worker-zone {zone}: if this one zone has no such GPU left, the job fails",
            "Leave the zone to Dataflow, and list other places with --fallback.",
        )
    launcher = environment.launcher_machine_type
    if launcher in (None, "n1-standard-1", "f1-micro", "g1-small", "e2-micro", "e2-small"):
        yield warning(
            LAUNCHER_SMALL,
            f"--launcher-machine-type {launcher or '(n1-standard-1)'}: too little memory "
            "for a launcher that imports torch",
            f"Use --launcher-machine-type {LAUNCHER_MACHINE_TYPE}.",
        )
    if any("enable_secure_boot" in option for option in options):
        yield warning(
            GPU_SECURE_BOOT,
            "enable_secure_boot: reported to keep the NVIDIA driver from loading",
            "If the workers find no GPU, remove it.",
        )
    if environment.flexrs_goal:
        yield error(
            GPU_FLEXRS,
            f"flexrsGoal {environment.flexrs_goal}: FlexRS takes no GPUs",
            "Remove flexrsGoal.",
        )
