"""A real image, built once with stand-ins for the images of the registries."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from launcher.image.build import build_image
from launcher.image.plan import ImageOptions
from tests.docker import standins
from tests.support import PROJECT_ROOT

NAME = "localhost/flexpack-test"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "buildah: builds a real image, minutes the first time; skipped without buildah"
    )


@dataclass(frozen=True)
class Project:
    """A copy of the project's image part, and how to build it here."""

    root: Path
    engine: str
    build_args: dict[str, str]
    pip_conf: Path | None
    volumes: tuple[Path, ...]

    def build(self, tag: str, **build_args: str) -> str:
        """Build the CPU flavour and return its reference."""
        options = ImageOptions(
            name=NAME,
            flavour="cpu",
            tag=tag,
            build_args=self.build_args | build_args,
            pip_conf=self.pip_conf,
            ca_bundle=standins.find_ca_bundle(),
            volumes=self.volumes,
        )
        return build_image(options, root=self.root, engine=self.engine).reference

    def build_changed(self, tag: str, name: str) -> str:
        """Build with one line more in a file of template/, and leave the file as it was."""
        path = self.root / "template" / name
        text = path.read_text()
        path.write_text(f"{text}\n# changed\n")
        try:
            return self.build(tag)
        finally:
            path.write_text(text)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    if problem := standins.find_problem():
        pytest.skip(f"no image can be built here: {problem}")
    root = tmp_path_factory.mktemp("project")
    for folder in ("docker", "template"):
        shutil.copytree(PROJECT_ROOT / folder, root / folder)
    settings = standins.read_pip_settings()
    return Project(
        root=root,
        engine="buildah",
        build_args={
            "PYTHON_IMAGE": standins.make_python_image(),
            "BEAM_IMAGE": standins.make_beam_image(tmp_path_factory.mktemp("beam"), "2.77.0"),
            "LAUNCHER_IMAGE": standins.make_launcher_image(tmp_path_factory.mktemp("launcher")),
        },
        pip_conf=settings.write(tmp_path_factory.mktemp("pip") / "pip.conf"),
        volumes=settings.folders,
    )


@pytest.fixture(scope="session")
def image(project: Project) -> str:
    """The image, of the CPU flavour. Its layers stay in buildah's store for the next time."""
    return project.build("one")
