"""What is requested of a build, and what an engine gets, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from launcher.errors import InputError
from launcher.image.context import DOCKERFILE, hash_context
from launcher.image.flavours import default_flavour, find_flavour
from launcher.image.git import build_version, legal_tag, read_git_state
from launcher.image.locks import check_locks, read_lock, read_pin
from launcher.image_reference import LOCAL, read_reference

PLATFORM = "linux/amd64"

# https://github.com/opencontainers/image-spec/blob/main/annotations.md
_VERSION = "org.opencontainers.image.version"
_REVISION = "org.opencontainers.image.revision"


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """What can be said about an image that is to be built.

    Attributes:
        name: without a tag; ``build_artifact_registry_name`` makes one for Artifact Registry.
        flavour: build of torch: cu130, cu126 or cpu.
        tag: None infers it from git.
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
        root: the project, which is the build's context.
        reference: NAME:TAG of the image to be.
        build_args: values of the Dockerfile's ARGs.
        labels: what the image is to say of itself beside the Dockerfile's own labels.
        context: hash of all files that the image is made of.
        secrets: files that the build may read and that stay out of the image, by id.
        volumes: folders of this machine that the build may read at the same path; buildah only.
        pip_conf_secret: name of the secret in Secret Manager that holds pip.conf; Cloud Build only.
        use_cache: take layers of earlier builds.
        is_verbose: show every line of the build, not only its steps.
    """

    root: Path
    reference: str
    build_args: Mapping[str, str]
    labels: Mapping[str, str]
    context: str
    secrets: Mapping[str, Path] = field(default_factory=dict)
    volumes: tuple[Path, ...] = ()
    pip_conf_secret: str | None = None
    use_cache: bool = True
    is_verbose: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """The part of the command line that is the same for all engines."""
        return (
            *(f"--build-arg={name}={value}" for name, value in self.build_args.items()),
            *(f"--label={name}={value}" for name, value in self.labels.items()),
            *([] if self.use_cache else ["--no-cache"]),
        )


def plan_build(root: Path, options: ImageOptions, *, push: bool = False) -> BuildPlan:
    """Return what to build. Reads git and the lock.

    Args:
        push: whether the image is to be pushed, for which it needs a name in a registry.

    Raises:
        InputError: an option is wrong, or this is not a project that has an image.
    """
    if not (root / DOCKERFILE).exists():
        raise InputError(f"{root / DOCKERFILE}: no such file; run this in the project's root")
    flavour = find_flavour(options.flavour)
    lock = read_lock(root, flavour)
    check_locks(root, flavour)
    image = read_reference(options.name)
    if image.tag or image.digest:
        raise InputError(f"--image {options.name!r}: give the name alone, and the tag by --tag")
    if push and options.name == LOCAL:
        raise InputError(
            "--push: where to? Give --project and --region (of the Artifact Registry), or --image"
        )
    version, revision = _find_version(root, options)
    secrets = {"pip_conf": options.pip_conf, "ca_bundle": options.ca_bundle}
    for name, path in secrets.items():
        if path is not None and not path.is_file():
            raise InputError(f"--{name.replace('_', '-')} {str(path)!r}: no such file")
    return BuildPlan(
        root=root,
        reference=f"{options.name}:{version}",
        build_args={
            "FLAVOUR": flavour.name,
            "BEAM_VERSION": read_pin(lock, "apache-beam"),
            "TORCH_VERSION": read_pin(lock, "torch"),
            "CUDA_VERSION": flavour.cuda_version or "none",
            **options.build_args,
        },
        labels={_VERSION: version, _REVISION: revision or "unknown"},
        context=hash_context(root),
        secrets={name: path.absolute() for name, path in secrets.items() if path is not None},
        volumes=options.volumes,
        pip_conf_secret=options.pip_conf_secret,
        use_cache=options.use_cache,
        is_verbose=options.is_verbose,
    )


def _find_version(root: Path, options: ImageOptions) -> tuple[str, str | None]:
    """Return the image's tag, and git's word for the code; None outside a repository."""
    if not options.tag:
        git = read_git_state(root)
        version = build_version(git)
        is_default = options.flavour == default_flavour()
        return version if is_default else f"{version}-{options.flavour}", git.revision
    version = legal_tag(options.tag)
    if version != options.tag:
        raise InputError(f"--tag {options.tag!r}: not legal; {version!r} would be")
    try:
        return version, read_git_state(root).revision
    except InputError:
        return version, None
