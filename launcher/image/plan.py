"""What a build is told, whichever engine runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from launcher.image.flavours import Flavour
from launcher.image.git import GitState
from launcher.image.locks import read_pin

DOCKERFILE = Path("docker") / "Dockerfile"
IGNORE_FILE = Path("docker") / "Dockerfile.dockerignore"
PLATFORM = "linux/amd64"


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """One build.

    Attributes:
        root: the project, which is the build's context.
        reference: NAME:TAG of the image to be.
        build_args: values of the Dockerfile's ARGs.
        secrets: files that the build may read and that stay out of the image, by id.
        volumes: folders of this machine that the build may read at the same path; buildah only.
    """

    root: Path
    reference: str
    build_args: Mapping[str, str]
    secrets: Mapping[str, Path] = field(default_factory=dict)
    volumes: tuple[Path, ...] = ()


def build_args(
    flavour: Flavour, lock: str, *, version: str, git: GitState | None, own: Mapping[str, str]
) -> dict[str, str]:
    """Return the values of the Dockerfile's ARGs.

    Args:
        lock: text of the flavour's lock.
        own: values that the user gave, which go first.
    """
    return {
        "FLAVOUR": flavour.name,
        "VERSION": version,
        "REVISION": git.commit if git else "unknown",
        "BEAM_VERSION": read_pin(lock, "apache-beam"),
        "TORCH_VERSION": read_pin(lock, "torch"),
        "CUDA_VERSION": flavour.cuda_version or "none",
        **own,
    }
