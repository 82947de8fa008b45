"""The engines, each with real images: buildah, and docker where its daemon answers."""

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
    """An image of one program, where the engine has its images."""
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
    shown = engine.run_python(python_image, program, timeout_sec=60)
    assert shown == "(3, 11) /usr/local/bin/python\n"


def test_a_program_that_fails_shows_why(engine, python_image):
    with pytest.raises(ImageError, match="no_such_name"):
        engine.run_python(python_image, "no_such_name", timeout_sec=60)


def test_an_image_is_measured(engine, program_image):
    size = measure_image(program_image, engine)
    (layer,) = size.layers
    assert 0 < layer.compressed_bytes < layer.unpacked_bytes
    # docker saves layers as they lie on its disk.
    assert size.is_exact is (engine.name == "buildah")


@pytest.fixture
def tag(engine, program_image):
    """Give the image more names; they are taken from it at the end."""
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
