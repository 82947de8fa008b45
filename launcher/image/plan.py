"""The options of a build, and the plan that any engine gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from launcher.errors import InputError
from launcher.image.bases import read_bases
from launcher.image.context import Context, read_context
from launcher.image.flavours import default_flavour, find_flavour
from launcher.image.git import HASH_LENGTH, build_version, legal_tag, read_git_state
from launcher.image.locks import check_locks, read_lock, read_pin, read_pins
from launcher.image.project_locks import refuse_project_locks
from launcher.image.projects import find_weight, read_projects
from launcher.image.tools import Report
from launcher.image_reference import LOCAL, read_reference
from launcher.kit import find_kit, is_from_wheel

PLATFORM = "linux/amd64"

# https://github.com/opencontainers/image-spec/blob/main/annotations.md
_VERSION = "org.opencontainers.image.version"
_REVISION = "org.opencontainers.image.revision"


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """How to build and name an image.

    Attributes:
        name: without a tag; ``build_artifact_registry_name`` makes one for Artifact Registry.
        flavour: build of torch: cu130, cu126, cpu, or no-torch.
        tag: None infers it from git.
        code: folders of projects, whose packages and requirements go into the image.
        build_args: values of the Dockerfile's ARGs.
        pip_conf: pip's configuration during the build, for an index of your own.
        pip_conf_secret: the same in Secret Manager, by name; Cloud Build only.
        ca_bundle: certificates for that index; pip_conf names them as /etc/flexpack/ca.pem.
        volumes: folders that the build may read; buildah only.
        use_cache: take layers of earlier builds.
        is_verbose: show every line of the build, not only its steps.
    """

    name: str = LOCAL
    flavour: str = field(default_factory=default_flavour)
    tag: str | None = None
    code: tuple[Path, ...] = ()
    build_args: Mapping[str, str] = field(default_factory=dict)
    pip_conf: Path | None = None
    pip_conf_secret: str | None = None
    ca_bundle: Path | None = None
    volumes: tuple[Path, ...] = ()
    use_cache: bool = True
    is_verbose: bool = False


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """One build.

    Attributes:
        kit: the folder with flexpack's ``docker/`` and ``template/``.
        reference: NAME:TAG of the new image.
        build_args: values of the Dockerfile's ARGs.
        labels: labels of the image, in addition to the Dockerfile's own.
        context: all files of the image.
        secrets: files that the build may read, but that stay out of the image, by id.
        volumes: folders of this machine that the build may read at the same path; buildah only.
        pip_conf_secret: name of the secret in Secret Manager that holds pip.conf; Cloud Build only.
        use_cache: take layers of earlier builds.
        is_verbose: show every line of the build, not only its steps.
    """

    kit: Path
    reference: str
    build_args: Mapping[str, str]
    labels: Mapping[str, str]
    context: Context
    secrets: Mapping[str, Path] = field(default_factory=dict)
    volumes: tuple[Path, ...] = ()
    pip_conf_secret: str | None = None
    use_cache: bool = True
    is_verbose: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """The part of the command line that all engines share."""
        return (
            *(f"--build-arg={name}={value}" for name, value in self.build_args.items()),
            *(f"--label={name}={value}" for name, value in self.labels.items()),
            *([] if self.use_cache else ["--no-cache"]),
        )


def plan_build(
    root: Path,
    options: ImageOptions,
    *,
    push: bool = False,
    report: Report = lambda warning: None,
) -> BuildPlan:
    """Return the plan of a build. Reads git, the locks and all files of the image.

    Args:
        root: the folder with ``docker/`` and ``template/``; flexpack's own if it has none.
        push: whether the image will be pushed, which needs a name in a registry.
        report: called with a warning for each project that holds big files, before these are read.

    Raises:
        InputError: an option or a project is wrong.
    """
    kit = find_kit(root)
    flavour = find_flavour(options.flavour)
    lock = read_lock(kit, flavour)
    check_locks(kit, flavour)
    projects = read_projects(options.code)
    refuse_project_locks(kit, projects, flavour)
    context = read_context(kit, projects, read_pins(lock))
    for warning in filter(None, map(find_weight, projects)):
        report(warning)
    image = read_reference(options.name)
    if image.tag or image.digest:
        raise InputError(f"--image {options.name!r}: give only the name, and --tag for the tag")
    if push and options.name == LOCAL:
        raise InputError(
            "--push: no destination. Give --project and --region (of Artifact Registry), or --image"
        )
    version, revision = _find_version(kit, options, context)
    secrets = {"pip_conf": options.pip_conf, "ca_bundle": options.ca_bundle}
    for name, path in secrets.items():
        if path is not None and not path.is_file():
            raise InputError(f"--{name.replace('_', '-')} {str(path)!r}: no such file")
    return BuildPlan(
        kit=kit,
        reference=f"{options.name}:{version}",
        build_args={
            "FLAVOUR": flavour.name,
            "BEAM_VERSION": read_pin(lock, "apache-beam"),
            "TORCH_VERSION": flavour.torch_version or "none",
            "CUDA_VERSION": flavour.cuda_version or "none",
            **{base.argument: base.pinned for base in read_bases(kit) if base.pinned},
            **options.build_args,
        },
        labels={_VERSION: version, _REVISION: revision or "unknown"},
        context=context,
        secrets={name: path.absolute() for name, path in secrets.items() if path is not None},
        volumes=options.volumes,
        pip_conf_secret=options.pip_conf_secret,
        use_cache=options.use_cache,
        is_verbose=options.is_verbose,
    )


def _find_version(kit: Path, options: ImageOptions, context: Context) -> tuple[str, str | None]:
    """Return the image's tag, and git's revision of the code; None outside a repository."""
    folder = options.code[0] if options.code else kit
    # A wheel's files may be inside an unrelated repository, that of the environment.
    is_in_git = not is_from_wheel(folder)
    git = read_git_state(folder, context, is_whole=not options.code) if is_in_git else None
    revision = git.revision if git else None
    if options.tag:
        if (legal := legal_tag(options.tag)) != options.tag:
            raise InputError(f"--tag {options.tag!r}: not a valid tag; {legal!r} is one")
        return options.tag, revision
    version = build_version(git) if git else f"0-t{context.hash[:HASH_LENGTH]}"
    is_default = options.flavour == default_flavour()
    return version if is_default else f"{version}-{options.flavour}", revision
