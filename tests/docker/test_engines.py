"""The engines, each with real images: buildah, and docker if its daemon answers."""

from __future__ import annotations

import pytest

from launcher.errors import ImageError
from launcher.image.engines.buildah import Buildah
from launcher.image.engines.docker import Docker
from launcher.image.testing import measure_image
from tests.docker import standins

pytestmark = [pytest.mark.buildah, pytest.mark.slow]


@pytest.fixture(params=[Buildah, Docker], ids=lambda engine: engine.name)
def engine(request):
    engine = request.param()
    if problem := engine.find_problem():
        pytest.skip(f"{engine.name}: {problem}")
    return engine


@pytest.fixture
def program_image(project, engine, tmp_path):
    """An image of one program, in the engine's store."""
    return give(engine, project.build_args["LAUNCHER_IMAGE"], tmp_path)


@pytest.fixture
def python_image(project, engine, tmp_path):
    return give(engine, project.build_args["PYTHON_IMAGE"], tmp_path)


def give(engine, image, folder):
    if engine.name == "docker":
        standins.give_to_docker(image, folder)
    return image


def test_what_an_image_says_of_itself(engine, program_image):
    config = engine.read_config(program_image)
    assert (config.os, config.architecture) == ("linux", "amd64")
    assert len(config.diff_ids) == 1
    assert config.history


def test_a_program_runs_in_an_image(engine, python_image):
    program = "import sys; print(sys.version_info[:2], sys.executable)"
    shown = engine.run_python(python_image, program, timeout_sec=300)
    assert shown == "(3, 11) /usr/local/bin/python\n"


def test_a_program_that_fails_shows_why(engine, python_image):
    with pytest.raises(ImageError, match="no_such_name"):
        engine.run_python(python_image, "no_such_name", timeout_sec=300)


def test_an_image_is_measured(engine, program_image):
    size = measure_image(program_image, engine)
    (layer,) = size.layers
    assert 0 < layer.compressed_bytes < layer.unpacked_bytes
    # docker saves layers as they are on its disk.
    assert size.is_exact is (engine.name == "buildah")


@pytest.fixture
def tag(engine, program_image):
    """Give the image more names, which are removed at the end."""
    names = []

    def add(name):
        standins.run(engine.name, "tag", program_image, name)
        names.append(name)
        return name

    yield add
    for name in names:
        standins.run(engine.name, "rmi", name)


def test_a_push_reports_the_digest_that_the_registry_has(engine, registry, tag):
    digest = engine.push(tag(f"{registry.host}/flexpack:1.0"))
    assert registry.find_digest("flexpack", "1.0") == digest


def test_a_push_that_is_refused_says_how_to_log_in(engine, tag):
    with pytest.raises(
        ImageError, match=r"cannot be pushed: (.|\n)*To log in to Artifact Registry"
    ):
        engine.push(tag("localhost:1/flexpack:1.0"))


def test_an_image_is_pulled_by_the_digest_that_its_push_reported(
    project, engine, registry, tmp_path
):
    name = f"{registry.host}/flexpack"
    made = standins.make_copy(project.build_args["LAUNCHER_IMAGE"], f"{name}:2.0")
    give(engine, f"{name}:2.0", tmp_path)
    digest = engine.push(f"{name}:2.0")
    standins.run("buildah", "rmi", made)
    if engine.name == "docker":
        standins.run("docker", "rmi", "--force", f"{name}:2.0", f"{name}@{digest}")
    with pytest.raises(ImageError):
        engine.read_config(f"{name}@{digest}")
    engine.fetch(f"{name}@{digest}")
    engine.fetch(f"{name}@{digest}")  # It is here now.
    assert engine.read_config(f"{name}@{digest}").labels["copy"] == f"{name}:2.0"
    if engine.name == "docker":
        standins.run("docker", "rmi", f"{name}@{digest}")
    else:
        standins.run("buildah", "rmi", made)


def test_an_image_that_is_nowhere_says_so(engine):
    with pytest.raises(ImageError, match="is not on this machine, and cannot be pulled"):
        engine.fetch(f"localhost:1/flexpack@sha256:{'a' * 64}")
