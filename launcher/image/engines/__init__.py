"""The engines that can build an image here, and which of them is taken.

docker builds fastest, buildah needs no daemon, Cloud Build needs nothing but gcloud and puts what
it has built into a registry. They are looked for in this order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from launcher.errors import InputError
from launcher.image.config import ImageConfig
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
        """Return why this engine cannot be used here, or None."""

    def build(self, plan: BuildPlan, folder: Path, report: Report) -> None:
        """Build an image. Blocks, for many minutes where layers are not cached.

        Args:
            folder: the plan's context, written.
            report: gets every step as it begins, with the seconds since the start.
        """

    def push(self, reference: str) -> str:
        """Push an image and return its digest, ``sha256:...``. Blocks, for minutes."""


class LocalEngine(Builder, Protocol):
    """An engine that has its images on this machine and can look into them."""

    def fetch(self, reference: str) -> None:
        """Pull an image that is not on this machine yet. Blocks, for minutes."""

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
            mounts: files and folders of this machine, and where the program can read them.
        """

    def save(self, reference: str, directory: str) -> None:
        """Write an image as an OCI layout into an empty directory. Blocks, for minutes."""


ENGINES: Mapping[str, type[Docker] | type[Buildah] | type[CloudBuild]] = {
    "docker": Docker,
    "buildah": Buildah,
    "cloudbuild": CloudBuild,
}


@dataclass(frozen=True)
class Choice:
    """The engine that is taken, and why not one before it."""

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
        InputError: there is no such engine, or none can be used here.
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
