"""The engines, each with real images: buildah, and docker where its daemon answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request

import pytest

from launcher.errors import ImageError
from launcher.image.engines.buildah import Buildah
from launcher.image.engines.docker import Docker
from launcher.image.testing import measure_image
from tests.docker import standins

pytestmark = [pytest.mark.buildah, pytest.mark.slow]
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


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
def registry(tmp_path):
    """A registry of this machine; yields its host and port."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed")
    config = tmp_path / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: info, formatter: json}\n"
        f"storage: {{filesystem: {{rootdirectory: {tmp_path / 'data'}}}}}\n"
        "http: {addr: 'localhost:0'}\n"
    )
    process = subprocess.Popen(
        [program, "serve", str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        for line in process.stdout:
            if "listening on" in line:
                address = json.loads(line)["msg"].rpartition(" ")[2]
                yield f"localhost:{address.rpartition(':')[2]}"
                break
    finally:
        process.kill()
        process.wait()


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
    digest = engine.push(tag(f"{registry}/flexpack:1.0"))
    request = urllib.request.Request(
        f"http://{registry}/v2/flexpack/manifests/1.0", headers={"Accept": ", ".join(MANIFESTS)}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Docker-Content-Digest"] == digest


def test_a_push_that_is_refused_says_how_to_log_in(engine, tag):
    with pytest.raises(
        ImageError, match=r"cannot be pushed: (.|\n)*To log in to Artifact Registry"
    ):
        engine.push(tag("localhost:1/flexpack:1.0"))
