"""Checks that a checkpoint loads safely, fits the model class, and fits the GPU."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from launcher.accelerators.catalogue import Accelerator, find_machine_type, load_catalogue
from launcher.errors import InputError
from launcher.finding import (
    CHECKPOINT_MISFIT,
    CHECKPOINT_PICKLED,
    CHECKPOINT_UNASKED,
    CHECKPOINT_UNREADABLE,
    MODEL_BFLOAT16,
    MODEL_GPU_MEMORY,
    MODEL_LOAD,
    MODEL_MEMORY,
    Finding,
    error,
    warning,
)
from launcher.google.rest import camel_case, from_rest
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.preflight.accelerator import count_sdk_processes
from launcher.preflight.probe import ProbeError, explain_python, run_probe

_GB = 1e9
# The memory that CUDA occupies on the GPU for each process before the first tensor.
_CONTEXT_GB = 0.5
# A smaller download takes no noticeable time.
_LARGE_MODEL_GB = 2.0


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What the probe found in a file; ``tensor_bytes`` is None if it did not load."""

    file_bytes: int
    tensor_bytes: int | None = None
    dtypes: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None
    detail: str | None = None


def read_checkpoint(
    path: Path,
    *,
    model_class: str | None,
    parameters: Mapping[str, str],
    python: Path,
    root: Path,
    timeout_sec: float = 120.0,
) -> Checkpoint:
    """Load a checkpoint in a process of the image's environment. Blocks.

    Args:
        model_class: ``module:Class`` whose ``load_model`` must load it too; empty if a launch
            leaves it to the file.
        parameters: those of the launch, which may include the model's options.

    Raises:
        InputError: the file does not exist.
        ProbeError: the process did not answer.
    """
    if not path.exists():
        raise InputError(f"--checkpoint {path}: no such file")
    arguments = [
        str(path.resolve()),
        *([] if model_class is None else [model_class, json.dumps(dict(parameters))]),
    ]
    answer = run_probe("checkpoint", arguments, python=python, root=root, timeout_sec=timeout_sec)
    if not isinstance(answer, dict):
        raise ProbeError(f"{python}: answered {answer!r:.80}")
    return from_rest(Checkpoint, {camel_case(key): value for key, value in answer.items()})


def check_checkpoint(
    path: Path,
    model_class: str | None,
    parameters: Mapping[str, str],
    *,
    python: Path,
    root: Path,
) -> Generator[Finding, None, Checkpoint | None]:
    """Yield why workers cannot load a checkpoint, and return its contents. May block.

    Args:
        model_class: ``module:Class`` whose ``load_model`` must load it too; None if not known.
        parameters: those of the launch, which may include the model's options.
        python: the interpreter that has the image's packages.
        root: working directory of its process.

    Raises:
        InputError: the file does not exist.
    """
    try:
        checkpoint = read_checkpoint(
            path, model_class=model_class, parameters=parameters, python=python, root=root
        )
    except ProbeError as problem:
        yield warning(
            CHECKPOINT_UNASKED,
            f"{path}: not checked: {problem}",
            explain_python(python),
        )
        return None
    yield from _judge(path, checkpoint)
    return checkpoint


def _judge(path: Path, checkpoint: Checkpoint) -> Iterator[Finding]:
    detail = checkpoint.detail or ""
    match checkpoint.problem:
        case "pickled":
            yield error(
                CHECKPOINT_PICKLED,
                f"{path}: holds pickled objects, which torch.load refuses (weights_only): {detail}",
                "Save only the weights: torch.save(model.state_dict(), PATH).",
            )
        case "no-state-dict":
            yield error(
                CHECKPOINT_PICKLED,
                f"{path}: holds a {detail}, not a state_dict",
                "Save only the weights: torch.save(model.state_dict(), PATH).",
            )
        case "unreadable":
            yield error(
                CHECKPOINT_UNREADABLE,
                f"{path}: cannot be loaded: {detail}",
                "Save it again.",
            )
        case "unusable":
            yield error(
                CHECKPOINT_MISFIT,
                f"{path}: {detail}",
                "Options of a model without a class are parameters: --parameters model_opts=JSON. "
                "A class that loads the file is --parameters model_class=MODULE:CLASS.",
            )
        case "misfit":
            yield error(
                CHECKPOINT_MISFIT,
                f"{path}: the model class does not load it: {detail}",
                "Name the class whose weights these are (--parameters model_class=MODULE:CLASS), "
                "or give its options (--parameters model_opts=JSON).",
            )


def check_model_size(
    checkpoint: Checkpoint,
    accelerator: Accelerator | None,
    environment: FlexTemplateRuntimeEnvironment,
) -> Iterator[Finding]:
    """Yield findings if a model per SDK process is too large or takes too long to load."""
    size_gb = (checkpoint.tensor_bytes or checkpoint.file_bytes) / _GB
    processes = count_sdk_processes(environment) or 1
    machine = environment.machine_type or ""
    gpu = load_catalogue().find(accelerator.type) if accelerator else None
    if accelerator and gpu:
        needed = processes * (size_gb + _CONTEXT_GB)
        available = gpu.memory_gb * accelerator.count
        sum_of_all = (
            f"{processes} SDK process{'es' if processes > 1 else ''} x ({size_gb:.1f} GB model "
            f"+ {_CONTEXT_GB} GB for CUDA) = {needed:.1f} GB, and "
        )
        if needed > available:
            yield error(
                MODEL_GPU_MEMORY,
                f"{sum_of_all}{accelerator.count} {gpu.type} have {available} GB",
                "Start fewer processes (no_use_multiple_sdk_containers), or use a larger GPU.",
            )
        elif needed > gpu.memory_gb:
            yield warning(
                MODEL_GPU_MEMORY,
                f"{sum_of_all}each {gpu.type}, which gets a copy of the model, has "
                f"{gpu.memory_gb} GB",
                "Use a larger GPU, or set takes_all_gpus in a model class that spreads itself "
                "over all of them.",
            )
        if "bfloat16" in checkpoint.dtypes and not gpu.has_bfloat16:
            yield error(
                MODEL_BFLOAT16,
                f"the weights are bfloat16, and {gpu.type} (compute capability "
                f"{gpu.compute_capability}) does not support it",
                "Use nvidia-l4 or newer, or convert the weights to float16 or float32.",
            )
    worker = find_machine_type(machine)
    if worker and processes * size_gb > worker.memory_gb * 0.8:
        yield error(
            MODEL_MEMORY,
            f"{processes} SDK process{'es' if processes > 1 else ''} x {size_gb:.1f} GB model, and "
            f"{machine} has {worker.memory_gb:g} GB of memory",
            "Start fewer processes, or use a machine type with more memory.",
        )
    if processes > 1 and size_gb >= _LARGE_MODEL_GB:
        yield warning(
            MODEL_LOAD,
            f"each of {processes} SDK processes of a worker loads the model of {size_gb:.1f} GB",
            "Start one process (no_use_multiple_sdk_containers), which loads it once.",
        )
