"""What is checked: a template's project, a launch of the template, and what it takes to look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.launch.request import LaunchFlexTemplateRequest
from launcher.package.metadata import TemplateMetadata
from launcher.package.spec import ContainerSpec
from launcher.preflight.dockerfile_reader import Dockerfile, read_dockerfile
from launcher.preflight.image_rules import PY_FILE
from launcher.preflight.locks import Lock, read_lock


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

    @property
    def all(self) -> tuple[Path, ...]:
        """Every one of them."""
        named = (self.dockerfile, *self.locks, self.entry_file, *self.metadata)
        return tuple(path for path in named if path)


@dataclass(frozen=True)
class Project:
    """A project, read: its files, and what its Dockerfile and its locks say."""

    files: ProjectFiles
    dockerfile: Dockerfile | None
    locks: tuple[Lock, ...]

    @property
    def torch_build(self) -> str | None:
        """The flavour of torch that a lock pins."""
        return next((lock.torch_build for lock in self.locks if lock.torch_build), None)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What is about to be launched.

    Attributes:
        image: the template's image.
        environment: the launch's environment over the template's.
        own_environment: the launch's own.
        template_environment: the template's own.
        language: the SDK's.
    """

    project: str
    region: str
    image: str
    environment: FlexTemplateRuntimeEnvironment
    own_environment: FlexTemplateRuntimeEnvironment | None = None
    template_environment: FlexTemplateRuntimeEnvironment | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    metadata: TemplateMetadata | None = None
    language: str = "PYTHON"

    @classmethod
    def of(
        cls, request: LaunchFlexTemplateRequest, spec: ContainerSpec, *, project: str, region: str
    ) -> Launch:
        """Return what a request launches of a template."""
        return cls(
            project=project,
            region=region,
            image=spec.image,
            environment=request.environment_over(spec),
            own_environment=request.launch_parameter.environment,
            template_environment=spec.default_environment,
            parameters=request.launch_parameter.parameters,
            metadata=spec.metadata,
            language=spec.sdk_info.language,
        )

    def find_parameters(self, *param_types: str) -> dict[str, str]:
        """Return the parameters of these types that are given."""
        declared = self.metadata.parameters if self.metadata else ()
        return {
            item.name: self.parameters[item.name]
            for item in declared
            if item.param_type in param_types and self.parameters.get(item.name)
        }

    def find_value(self, name: str) -> str | None:
        """Return what a parameter gets: the launch's value, or the template's default."""
        declared = self.metadata.parameters if self.metadata else ()
        default = next((item.default_value for item in declared if item.name == name), None)
        return self.parameters.get(name) or default


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What checks in other processes need: the image's interpreter, and a working directory."""

    python: Path
    root: Path = field(default_factory=Path.cwd)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is checked, as far as there is any.

    Attributes:
        spec_text: the container spec.
        checkpoint: the model's weights, if they are a local file.
        model_class: ``module:Class`` that loads them, if no launch says it.
        is_on_local_dataflow: whether the launch goes to the local Dataflow.
    """

    tools: Tools
    project: Project | None = None
    spec_text: bytes | None = None
    launch: Launch | None = None
    checkpoint: Path | None = None
    model_class: str | None = None
    is_on_local_dataflow: bool = False


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
        locks = [path for path in locks if path.name != "system-packages.txt"]
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


def read_project(files: ProjectFiles) -> Project:
    """Read a project's Dockerfile and locks.

    Raises:
        InputError: a file that is named does not exist.
    """
    dockerfile = read_dockerfile(files.dockerfile) if files.dockerfile else None
    return Project(files, dockerfile, tuple(read_lock(path) for path in files.locks))
