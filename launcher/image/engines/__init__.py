"""The engines that can build an image here, and the choice among them.

docker is the fastest, buildah needs no daemon, and Cloud Build needs only gcloud but pushes what
it builds. They are tried in this order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from launcher.errors import InputError
from launcher.image.config import ImageConfig
from launcher.image.engines import buildah, docker
from launcher.image.engines.buildah import Buildah
from launcher.image.engines.cloud_build import CloudBuild
from launcher.image.engines.docker import Docker
from launcher.image.plan import BuildPlan
from launcher.image.tools import Report
from template.parameters import did_you_mean


class Builder(Protocol):
    """Builds images and pushes them."""

    name: str

    def find_problem(self) -> str | None:
        """Return the reason why this engine cannot be used here, or None."""

    def build(self, plan: BuildPlan, folder: Path, report: Report) -> None:
        """Build an image. Blocks, for many minutes if layers are not cached.

        Args:
            folder: the plan's context, written.
            report: called with each step as it begins, and the seconds since the start.
        """

    def push(self, reference: str) -> str:
        """Push an image and return its digest, ``sha256:...``. Blocks, for minutes."""


class LocalEngine(Builder, Protocol):
    """An engine with local images, which can inspect them."""

    def fetch(self, reference: str) -> None:
        """Pull an image unless it is on this machine. Blocks, for minutes."""

    def read_config(self, reference: str) -> ImageConfig:
        """Return an image's configuration."""

    def run_python(
        self,
        reference: str,
        program: str,
        *,
        timeout_sec: float,
        arguments: Sequence[str] = (),
        mounts: Mapping[Path, PurePosixPath] | None = None,
    ) -> str:
        """Run a program with the image's interpreter and return its standard output. Blocks.

        Args:
            mounts: local files and folders, and their paths for the program.
        """

    def save(self, reference: str, directory: str) -> None:
        """Write an image as an OCI layout into an empty directory. Blocks, for minutes."""


# How to make an ARM machine run the programs of Dataflow's machines.
EMULATION: Mapping[str, str] = {"docker": docker.EMULATION, "buildah": buildah.EMULATION}

ENGINES: Mapping[str, type[Docker] | type[Buildah] | type[CloudBuild]] = {
    "docker": Docker,
    "buildah": Buildah,
    "cloudbuild": CloudBuild,
}


@dataclass(frozen=True)
class Choice:
    """The chosen engine, and why earlier ones were not."""

    engine: Docker | Buildah | CloudBuild
    skipped: tuple[str, ...] = ()

    def __str__(self) -> str:
        reasons = "".join(f"; {reason}" for reason in self.skipped)
        return f"{self.engine.name}{reasons}"


def choose_engine(requested: str | None = None, *, local: bool = False) -> Choice:
    """Return the engine to use.

    Args:
        requested: one of ``ENGINES``; None takes the first that works.
        local: whether the image must be on this machine afterwards.

    Raises:
        InputError: the engine does not exist, or none can be used here.
    """
    names = [name for name in ENGINES if not (local and name == "cloudbuild")]
    if requested and requested not in names:
        raise InputError(
            f"--engine {requested!r}: one of {', '.join(names)}{did_you_mean(requested, names)}"
        )
    problems: list[str] = []
    for name in [requested] if requested else names:
        engine = ENGINES[name]()
        problem = engine.find_problem()
        if problem is None:
            return Choice(engine, tuple(problems))
        problems.append(f"{name}: {problem}")
    raise InputError(
        f"--engine: no engine can be used here ({'; '.join(problems)}). Start Docker, install "
        "buildah (apt-get install buildah)"
        + ("" if local else ", or log in to gcloud for Cloud Build")
    )
