"""The static checks, put together: of a launch, and of the files that a template is made from.

They read files and send nothing; what needs torch or Beam runs in a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from launcher.errors import FormatError, InputError
from launcher.finding import Finding, warning
from launcher.google.rest import from_rest
from launcher.launch.request import LaunchFlexTemplateRequest
from launcher.package.metadata import TemplateMetadata
from launcher.package.metadata_checks import check_metadata
from launcher.package.spec import ContainerSpec, with_rest_names
from launcher.preflight.accelerator import check_accelerator, find_accelerator
from launcher.preflight.checkpoint import (
    Checkpoint,
    check_checkpoint,
    check_model_size,
    read_checkpoint,
)
from launcher.preflight.dockerfile import PY_FILE, check_dockerfile
from launcher.preflight.dockerfile_reader import read_dockerfile
from launcher.preflight.entry_file import check_entry_file
from launcher.preflight.environment import check_environment, check_workers_image
from launcher.preflight.locks import Lock, check_lock, read_lock
from launcher.preflight.options import check_pipeline_options
from launcher.preflight.parameters import check_parameters
from launcher.preflight.probe import ProbeError
from launcher.preflight.spec import check_metadata_fields


@dataclass(frozen=True, kw_only=True)
class ProjectFiles:
    """The files of a template's project, as far as there are any.

    Attributes:
        root: the folder from which the entry file's own modules are imported.
        metadata: metadata files.
    """

    root: Path
    dockerfile: Path | None = None
    locks: tuple[Path, ...] = ()
    entry_file: Path | None = None
    metadata: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ProjectReport:
    """What the files of a project gave: findings, what was read, and the flavour of torch."""

    findings: tuple[Finding, ...] = ()
    read: tuple[Path, ...] = ()
    torch_build: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What checks in other processes need: the image's interpreter, and a working directory."""

    python: Path
    root: Path = field(default_factory=Path.cwd)


def find_project_files(root: Path) -> ProjectFiles:
    """Return what is where a project usually has it, and what its Dockerfile names."""
    dockerfile = next(
        (path for path in (root / "docker/Dockerfile", root / "Dockerfile") if path.is_file()), None
    )
    entry_names = ["template/main.py", "main.py"]
    locks: list[Path] = []
    if dockerfile:
        read = read_dockerfile(dockerfile)
        copied = [root / source.lstrip("/") for copy in read.copies for source in copy.sources]
        locks = [path for path in copied if path.suffix == ".txt" and path.is_file()]
        if entry := read.env.get(PY_FILE):
            entry_names = ["/".join(Path(entry).parts[-depth:]) for depth in (3, 2, 1)]
    entry_file = next((root / name for name in entry_names if (root / name).is_file()), None)
    return ProjectFiles(
        root=root,
        dockerfile=dockerfile,
        locks=tuple(locks),
        entry_file=entry_file,
        metadata=tuple(sorted((root / "metadata").glob("*.json"))),
    )


def check_project(files: ProjectFiles) -> ProjectReport:
    """Check the files that a template is made from.

    Raises:
        InputError: a file that is named does not exist.
    """
    findings: list[Finding] = []
    locks = [read_lock(path) for path in files.locks]
    if files.dockerfile:
        findings += check_dockerfile(read_dockerfile(files.dockerfile), locks)
    for lock in locks:
        findings += check_lock(lock)
    if files.entry_file:
        findings += check_entry_file(files.entry_file, root=files.root)
    for path in files.metadata:
        findings += check_metadata_file(path)
    named = (files.dockerfile, *files.locks, files.entry_file, *files.metadata)
    return ProjectReport(
        tuple(findings), tuple(path for path in named if path), _find_torch_build(locks)
    )


def check_metadata_file(path: Path) -> list[Finding]:
    """Return what is wrong with a metadata file.

    Raises:
        InputError: it cannot be read, or is no metadata.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        metadata = from_rest(TemplateMetadata, with_rest_names(document), where=path.name)
    except OSError as problem:
        raise InputError(f"--metadata-file {path}: {problem.strerror}") from problem
    except (ValueError, FormatError) as problem:
        raise InputError(f"--metadata-file {path}: {problem}") from problem
    return [*check_metadata_fields(document, where=path.name), *check_metadata(metadata)]


def check_launch(
    request: LaunchFlexTemplateRequest,
    spec: ContainerSpec,
    *,
    region: str | None,
    tools: Tools,
    torch_build: str | None = None,
    checkpoint: Path | None = None,
) -> Iterator[Finding]:
    """Yield what is wrong with a launch of a template. May block for some seconds.

    Args:
        checkpoint: the model's weights, where they are a local file.
        torch_build: the flavour of torch in the image, where known.
    """
    launch = request.launch_parameter
    environment = request.environment_over(spec)
    parameters = launch.parameters
    declared: list[str] = []
    if spec.metadata is not None:
        declared = [parameter.name for parameter in spec.metadata.parameters]
        yield from check_parameters(spec.metadata, parameters, launch.environment)
    yield from check_environment(environment, parameters, region=region)
    yield from check_accelerator(
        environment, parameters, torch_build=torch_build, default=spec.default_environment
    )
    if spec.sdk_info.language == "PYTHON":
        yield from check_workers_image(environment, parameters, image=spec.image)
        yield from check_pipeline_options(
            environment.additional_pipeline_options, declared, python=tools.python, root=tools.root
        )
    if checkpoint is not None:
        model_class = parameters.get("model_class") or _default(spec, "model_class")
        found, problems = check_checkpoint_file(checkpoint, model_class=model_class, tools=tools)
        yield from problems
        if found:
            accelerator = find_accelerator(environment, parameters)
            yield from check_model_size(found, accelerator, environment)


def check_checkpoint_file(
    path: Path, *, model_class: str | None, tools: Tools
) -> tuple[Checkpoint | None, list[Finding]]:
    """Return what a file of weights holds, and what is wrong with it. Blocks for some seconds.

    Args:
        model_class: ``module:Class`` that shall load it; None where none is known.

    Raises:
        InputError: there is no such file.
    """
    try:
        found = read_checkpoint(path, model_class=model_class, python=tools.python, root=tools.root)
    except ProbeError as problem:
        unasked = warning(
            "checkpoint-unasked",
            f"{path}: not checked: {problem}",
            "Name with --python the interpreter that has the image's packages.",
        )
        return None, [unasked]
    return found, list(check_checkpoint(path, found))


def _default(spec: ContainerSpec, name: str) -> str | None:
    parameters = spec.metadata.parameters if spec.metadata else ()
    return next((item.default_value for item in parameters if item.name == name), None)


def _find_torch_build(locks: list[Lock]) -> str | None:
    return next((lock.torch_build for lock in locks if lock.torch_build), None)
