"""A real image, built once with stand-ins for the images of the registries."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.image.engines.docker import Docker
from tests.docker import standins
from tests.docker.project import DOUBLE, Project, make_project
from tests.docker.registry import PROGRAM, Registry, serve_registry


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "buildah: builds a real image, minutes the first time; skipped without buildah"
    )


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    if problem := standins.find_problem():
        pytest.skip(f"no image can be built here: {problem}")
    made = make_project(tmp_path_factory.mktemp("image"))
    (made.root / "template" / "models" / "double.py").write_text(DOUBLE)
    return made


@pytest.fixture(scope="session")
def docker_project(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same for Docker; puts the stand-ins into its store."""
    if problem := Docker().find_problem():
        pytest.skip(f"docker: {problem}")
    build_args = dict(project.build_args)
    if project.volumes:  # Docker's builder cannot see the folders of this machine.
        python = standins.add_folders(build_args["PYTHON_IMAGE"], project.volumes)
        build_args["PYTHON_IMAGE"] = python
    for image in build_args.values():
        standins.give_to_docker(image, tmp_path_factory.mktemp("image"))
    return replace(project, engine="docker", build_args=build_args, volumes=())


@pytest.fixture(scope="session")
def image(project: Project) -> str:
    """The image, of the CPU flavour. Its layers stay in buildah's store for the next time."""
    return project.build("one")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"{PROGRAM} is not installed")
    with serve_registry(tmp_path / "registry") as serving:
        yield serving
