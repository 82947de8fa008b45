"""The subject of checks: a template's project, a launch of it, and the tools to look at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from launcher.errors import InputError
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.launch.request import LaunchFlexTemplateRequest
from launcher.package.metadata import TemplateMetadata
from launcher.package.spec import ContainerSpec
from launcher.preflight.dockerfile import find_role
from launcher.preflight.dockerfile_reader import Dockerfile, read_dockerfile
from launcher.preflight.image_rules import PY_FILE, Role
from launcher.preflight.installed import find_locks
from launcher.preflight.locks import Lock, read_lock
from launcher.preflight.stages import Found, find_origin, resolve


@dataclass(frozen=True, kw_only=True)
class ProjectFiles:
    """The files of a template's project that exist.

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
    """A project that was read: its files, and the content of its Dockerfile and locks.

    Attributes:
        role: what its image is for; None infers it from what the image holds.
    """

    files: ProjectFiles
    dockerfile: Dockerfile | None
    locks: tuple[Lock, ...]
    role: Role | None = None

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
    job_name: str = ""

    @classmethod
    def of(
        cls, request: LaunchFlexTemplateRequest, spec: ContainerSpec, *, project: str, region: str
    ) -> Launch:
        """Return the launch of a request."""
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
            job_name=request.launch_parameter.job_name,
        )

    def find_parameters(self, *param_types: str) -> dict[str, str]:
        """Return the given parameters of these types."""
        declared = self.metadata.parameters if self.metadata else ()
        return {
            item.name: self.parameters[item.name]
            for item in declared
            if item.param_type in param_types and self.parameters.get(item.name)
        }

    def find_value(self, name: str) -> str | None:
        """Return a parameter's value: the launch's, the environment's, or the default."""
        for option in self.environment.additional_pipeline_options:
            given, _, value = option.removeprefix("--").partition("=")
            if given == name:
                return value
        declared = self.metadata.parameters if self.metadata else ()
        default = next((item.default_value for item in declared if item.name == name), None)
        return self.parameters.get(name) or default


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What checks in other processes need: the image's interpreter and a working directory."""

    python: Path
    root: Path = field(default_factory=Path.cwd)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Everything that a check can examine; absent parts are None or empty.

    Attributes:
        spec_text: the container spec.
        checkpoint: the model's weights, if they are a local file.
        model_class: ``module:Class`` that loads them, if no launch names one.
        is_on_local_dataflow: whether the launch goes to the local Dataflow.
        asks_storage: whether to look up the launch's inputs in Cloud Storage.
        pubsub_emulator: host and port of the local Pub/Sub in which to look up the launch's topics
            and subscriptions, if there is one.
    """

    tools: Tools
    project: Project | None = None
    spec_text: bytes | None = None
    launch: Launch | None = None
    checkpoint: Path | None = None
    model_class: str | None = None
    is_on_local_dataflow: bool = False
    asks_storage: bool = False
    pubsub_emulator: str | None = None


@dataclass(frozen=True, kw_only=True)
class ProjectOptions:
    """The files of a project that the user names; the others (None) are searched for.

    Attributes:
        target: the stage of the Dockerfile that is built.
        build_args: values of its build arguments.
        role: what the image is for.
    """

    root: Path
    dockerfile: Path | None = None
    locks: tuple[Path, ...] | None = None
    entry_file: Path | None = None
    metadata: tuple[Path, ...] | None = None
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    role: Role | None = None


def read_project(options: ProjectOptions) -> Project:
    """Read a project: the named files, and those in their usual places.

    Raises:
        InputError: a named file does not exist, or is not what it should be.
    """
    root = options.root
    path = options.dockerfile or _find_dockerfile(root)
    dockerfile = None
    if path:
        dockerfile = read_dockerfile(
            path, root=root, target=options.target, build_args=options.build_args
        )
    elif options.target or options.build_args:
        flag = "--target" if options.target else "--build-arg"
        raise InputError(f"{flag}: there is no Dockerfile in {root}; name it with --dockerfile")
    locks = options.locks
    if locks is None:
        plain = [root / "requirements.txt"] if path is None else []
        found = find_locks(dockerfile) if dockerfile else plain
        locks = tuple(each for each in found if each.is_file())
    metadata = _find_metadata(root, path) if options.metadata is None else options.metadata
    role = options.role or (find_role(dockerfile) if dockerfile else Role.BOTH)
    # If the image is only for workers, no template launches main.py.
    is_template = role in (Role.LAUNCHER, Role.BOTH) or bool(metadata)
    entry_file = options.entry_file
    if entry_file is None and is_template:
        entry_file = _find_entry_file(root, dockerfile)
    files = ProjectFiles(
        root=root, dockerfile=path, locks=locks, entry_file=entry_file, metadata=metadata
    )
    return Project(files, dockerfile, tuple(map(read_lock, locks)), options.role)


def _find_dockerfile(root: Path) -> Path | None:
    usual = [root / "docker/Dockerfile", root / "Dockerfile"]
    others = sorted({*root.glob("*.Dockerfile"), *root.glob("Dockerfile.*")})
    named = [path for path in others if not path.name.endswith(".dockerignore")]
    return next((path for path in (*usual, *named) if path.is_file()), None)


def _find_entry_file(root: Path, dockerfile: Dockerfile | None) -> Path | None:
    names = ["template/main.py", "main.py"]
    if dockerfile and (entry := dockerfile.target.env.get(PY_FILE)):
        path = resolve(entry, dockerfile.target.workdir)
        origin = find_origin(dockerfile.target, path, dockerfile.context)
        if isinstance(origin, Found) and origin.file:
            return origin.file
        names = ["/".join(Path(entry).parts[-depth:]) for depth in (3, 2, 1)]
    return next((root / name for name in names if (root / name).is_file()), None)


def _find_metadata(root: Path, dockerfile: Path | None) -> tuple[Path, ...]:
    """Return the metadata files in their folder, in the project's, and next to the Dockerfile."""
    folders = dict.fromkeys((root, *([dockerfile.parent] if dockerfile else [])))
    beside = (path for folder in folders for path in sorted(folder.glob("*metadata*.json")))
    found = (*sorted((root / "metadata").glob("*.json")), *beside)
    return tuple({path.resolve(): path for path in found}.values())
