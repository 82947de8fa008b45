"""GPUs of Dataflow workers: the catalogue, and their names for users and for the service.

The facts (types, machines, limits, drivers) are data in ``catalogue.json``, with the day they
were checked and their sources. Syntax of the service option ``worker_accelerator``:
https://cloud.google.com/dataflow/docs/gpu/use-gpus#service-option
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from launcher.errors import InputError
from launcher.google.rest import from_rest
from template.parameters import did_you_mean

WORKER_ACCELERATOR = "worker_accelerator"
LATEST_DRIVER = "latest"
DEFAULT_DRIVER = "default"
NO_DRIVER = "none"

_INSTALL = "install-nvidia-driver"
_MPS = "use_nvidia_mps"
_SYNTAX = re.compile(
    r"(?P<type>[a-z][a-z0-9-]*)"
    r"(:(?P<count>[1-9][0-9]*))?"
    r"(:(?P<driver>latest|default|none|[1-9][0-9]{2}[0-9.]*))?"
    r"(?P<mps>:mps)?"
)
# Memory per vCPU of the predefined N1 types, in GB.
# https://cloud.google.com/compute/docs/general-purpose-machines#n1_machines
_N1_MEMORY = {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9}
_N1_PREDEFINED = re.compile(r"n1-(?P<kind>standard|highmem|highcpu)-(?P<vcpus>[0-9]+)")
_N1_CUSTOM = re.compile(r"(n1-)?custom-(?P<vcpus>[0-9]+)-(?P<memory_mb>[0-9]+)(-ext)?")
_ANY_MACHINE = re.compile(r"[a-z][a-z0-9]*-[a-z]+-(?P<vcpus>[0-9]+)")


@dataclass(frozen=True)
class Accelerator:
    """The GPUs of one worker.

    Attributes:
        type: Compute Engine's name, for example ``nvidia-l4``.
        count: GPUs per worker.
        driver: the one that Dataflow installs: ``latest``, a version such as ``550``, ``default``
        for the one that it prefers, or ``none``.
        mps: whether the worker's processes share the GPU through NVIDIA's Multi-Process Service.
    """

    type: str
    count: int = 1
    driver: str = LATEST_DRIVER
    mps: bool = False

    @classmethod
    def parse(cls, text: str) -> Accelerator:
        """Read ``TYPE[:COUNT[:DRIVER]][:mps]``, for example ``nvidia-l4:1:latest``.

        Raises:
            InputError: the text has another form.
        """
        match = _SYNTAX.fullmatch(text)
        if not match:
            raise InputError(
                f"--accelerator {text!r}: expected TYPE[:COUNT[:DRIVER]][:mps] with a COUNT of at "
                "least 1, for example nvidia-l4:1 or nvidia-l4:1:latest"
            )
        return cls(
            match["type"],
            int(match["count"] or 1),
            match["driver"] or LATEST_DRIVER,
            match["mps"] is not None,
        )

    def __str__(self) -> str:
        driver = "" if self.driver == LATEST_DRIVER else f":{self.driver}"
        return f"{self.type}:{self.count}{driver}{':mps' if self.mps else ''}"


@dataclass(frozen=True, kw_only=True)
class MachineType:
    """A Compute Engine machine type; ``gpus`` is how many it has built in, 0 if they are added."""

    name: str
    vcpus: int
    memory_gb: float
    gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class N1Limit:
    """The largest N1 machine for a number of GPUs."""

    gpus: int
    vcpus: int
    memory_gb: float


@dataclass(frozen=True, kw_only=True)
class AcceleratorType:
    """A GPU that Dataflow supports; it comes with its own ``machines``, or attaches to N1."""

    type: str
    memory_gb: int
    compute_capability: str
    quota_metric: str
    machines: tuple[MachineType, ...] = ()
    n1_limits: tuple[N1Limit, ...] = ()
    note: str | None = None

    @property
    def counts(self) -> tuple[int, ...]:
        """The counts that one worker may have."""
        built_in = {machine.gpus for machine in self.machines}
        return tuple(sorted(built_in | {limit.gpus for limit in self.n1_limits}))

    @property
    def has_bfloat16(self) -> bool:
        """Whether it computes in bfloat16, which GPUs have done since Ampere."""
        return capability(self.compute_capability) >= (8, 0)

    def find_machines(self, count: int) -> tuple[MachineType, ...]:
        """Return the machine types for a number of GPUs, smallest first."""
        if self.machines:
            return tuple(machine for machine in self.machines if machine.gpus == count)
        limit = next((limit for limit in self.n1_limits if limit.gpus == count), None)
        names = (f"n1-standard-{vcpus}" for vcpus in (4, 8, 16, 32, 64, 96))
        machines = (find_machine_type(name) for name in names)
        return tuple(
            machine
            for machine in machines
            if limit and machine and 4 * count <= machine.vcpus <= limit.vcpus
        )


@dataclass(frozen=True, kw_only=True)
class RefusedType:
    """A name that users try, the reason why Dataflow refuses it, and the nearest supported name."""

    type: str
    reason: str
    instead: str


@dataclass(frozen=True, kw_only=True)
class CudaDriver:
    """The oldest NVIDIA driver branch under which programs of a CUDA major version run."""

    cuda: str
    minimum_driver: int


@dataclass(frozen=True, kw_only=True)
class DefaultDriver:
    """The driver branch that Dataflow prefers, as last seen."""

    version: int
    note: str


@dataclass(frozen=True, kw_only=True)
class TorchBuild:
    """A flavour of torch's wheels, and the GPUs for which it holds kernels."""

    build: str
    cuda: str
    compute_capabilities: tuple[str, ...]

    def has_kernels_for(self, gpu: AcceleratorType) -> bool:
        """Return whether a kernel of the build runs on the GPU.

        A kernel runs on its own compute capability and on later minor ones of the same major.
        """
        major, minor = capability(gpu.compute_capability)
        return any(
            built_major == major and built_minor <= minor
            for built_major, built_minor in map(capability, self.compute_capabilities)
        )


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The known facts about GPUs on Dataflow, as of the day ``checked``."""

    checked: str
    sources: tuple[str, ...]
    accelerators: tuple[AcceleratorType, ...]
    refused: tuple[RefusedType, ...]
    cuda_drivers: tuple[CudaDriver, ...]
    default_driver: DefaultDriver
    torch_builds: tuple[TorchBuild, ...]

    def find(self, name: str) -> AcceleratorType | None:
        """Return the accelerator with this name, or None."""
        return next((item for item in self.accelerators if item.type == name), None)

    def find_build(self, name: str) -> TorchBuild | None:
        """Return the torch build with this name, or None."""
        return next((item for item in self.torch_builds if item.build == name), None)

    def find_minimum_driver(self, cuda: str) -> int | None:
        """Return the oldest driver branch for a CUDA version such as ``13`` or ``13.0``."""
        major = cuda.partition(".")[0]
        return next((item.minimum_driver for item in self.cuda_drivers if item.cuda == major), None)


@functools.cache
def load_catalogue() -> Catalogue:
    """Read ``catalogue.json``."""
    text = resources.files(__package__).joinpath("catalogue.json").read_text(encoding="utf-8")
    return from_rest(Catalogue, json.loads(text))


def capability(text: str) -> tuple[int, int]:
    """Return a compute capability such as ``8.9`` as comparable numbers."""
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


def find_machine_type(name: str) -> MachineType | None:
    """Return a machine type of the catalogue (with GPUs, N1, or custom N1), or None."""
    for accelerator in load_catalogue().accelerators:
        for machine in accelerator.machines:
            if machine.name == name:
                return machine
    if match := _N1_PREDEFINED.fullmatch(name):
        vcpus = int(match["vcpus"])
        return MachineType(name=name, vcpus=vcpus, memory_gb=vcpus * _N1_MEMORY[match["kind"]])
    if match := _N1_CUSTOM.fullmatch(name):
        memory_gb = int(match["memory_mb"]) / 1024
        return MachineType(name=name, vcpus=int(match["vcpus"]), memory_gb=memory_gb)
    return None


def count_vcpus(machine_type: str) -> int | None:
    """Return the vCPUs of a machine type; for other families, the number in its name."""
    machine = find_machine_type(machine_type)
    if machine:
        return machine.vcpus
    match = _ANY_MACHINE.fullmatch(machine_type)
    return int(match["vcpus"]) if match else None


def find_type_problem(accelerator: Accelerator) -> str | None:
    """Return why a worker cannot have this GPU or this count, and what to use instead."""
    catalogue = load_catalogue()
    name = accelerator.type
    for refused in catalogue.refused:
        if refused.type == name:
            return f"{refused.reason}; the nearest is {refused.instead!r}"
    gpu = catalogue.find(name)
    if gpu is None:
        names = [item.type for item in catalogue.accelerators]
        short = next((each for each in names if name in each.split("-")), None)
        nearest = f"; did you mean {short!r}?" if short else did_you_mean(name, names)
        return (
            f"no such accelerator{nearest or '.'} 'flexpack accelerators' lists "
            f"them, as of {catalogue.checked}; request a newer one with --additional-experiments "
            f"'{WORKER_ACCELERATOR}=type:{name};count:{accelerator.count};{_INSTALL}'"
        )
    if accelerator.count not in gpu.counts:
        return f"a worker can have {_listed(gpu.counts)} of them"
    if accelerator.mps and accelerator.count > 1:
        return "mps works on workers with a single GPU only"
    return None


def find_machine_problem(accelerator: Accelerator, machine_type: str) -> str | None:
    """Return why the machine type cannot have the GPUs, or None; None for unknown GPUs too."""
    gpu = load_catalogue().find(accelerator.type)
    if gpu is None or accelerator.count not in gpu.counts:
        return None
    if gpu.machines:
        fitting = [machine.name for machine in gpu.find_machines(accelerator.count)]
        if machine_type in fitting:
            return None
        return f"{accelerator.count} {gpu.type} need {_listed(fitting)}"
    machine = find_machine_type(machine_type)
    if machine is None or machine.gpus:
        return f"{gpu.type} works with N1 machine types only, for example n1-standard-4"
    limit = next(limit for limit in gpu.n1_limits if limit.gpus == accelerator.count)
    if machine.vcpus > limit.vcpus or machine.memory_gb > limit.memory_gb:
        return (
            f"{accelerator.count} {gpu.type} allow at most {limit.vcpus} vCPUs and "
            f"{limit.memory_gb:g} GB of memory, and it has {machine.vcpus} and "
            f"{machine.memory_gb:g} GB"
        )
    return None


def find_default_machine(accelerator: Accelerator) -> str | None:
    """Return the smallest machine type for the GPUs, or None if the catalogue has none."""
    gpu = load_catalogue().find(accelerator.type)
    machines = gpu.find_machines(accelerator.count) if gpu else ()
    return machines[0].name if machines else None


def find_built_in(machine_type: str) -> tuple[AcceleratorType, int] | None:
    """Return the built-in GPUs of a machine type and their number, or None."""
    for gpu in load_catalogue().accelerators:
        for machine in gpu.machines:
            if machine.name == machine_type:
                return gpu, machine.gpus
    return None


def encode_resource_hint(accelerator: Accelerator) -> str:
    """Return the value of Beam's resource hint ``accelerator``: GPUs for one step only."""
    parts = [f"type:{accelerator.type}", f"count:{accelerator.count}"]
    if accelerator.driver == DEFAULT_DRIVER:
        parts.append(_INSTALL)
    elif accelerator.driver != NO_DRIVER:
        parts.append(f"{_INSTALL}:{accelerator.driver}")
    if accelerator.mps:
        parts.append(_MPS)
    return ";".join(parts)


def encode_worker_accelerator(accelerator: Accelerator) -> str:
    """Return the service option that gives every worker the GPUs and their driver."""
    return f"{WORKER_ACCELERATOR}={encode_resource_hint(accelerator)}"


def decode_accelerator(text: str) -> Accelerator:
    """Read any service option or resource hint.

    Raises:
        InputError: it does not name a GPU, or has parts that Dataflow does not know.
    """
    values: dict[str, str] = {}
    for part in text.removeprefix(f"{WORKER_ACCELERATOR}=").split(";"):
        key, _, value = part.strip().partition(":")
        values[key] = value
    unknown = values.keys() - {"type", "count", _INSTALL, _MPS, "machine_type"}
    count = values.get("count", "1")
    if unknown or not values.get("type") or not re.fullmatch("[1-9][0-9]*", count):
        raise InputError(
            f"{text!r}: expected type:TYPE;count:N;{_INSTALL}[:VERSION][;{_MPS}], for example "
            f"{encode_resource_hint(Accelerator('nvidia-l4'))}"
        )
    driver = (values[_INSTALL] or DEFAULT_DRIVER) if _INSTALL in values else NO_DRIVER
    return Accelerator(values["type"], int(count), driver, _MPS in values)


def _listed(values: Iterable[object]) -> str:
    *others, last = map(str, values)
    return f"{', '.join(others)} or {last}" if others else last
