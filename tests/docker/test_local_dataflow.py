"""An image on the local Dataflow; ``test_projects`` runs a job in an image."""

from __future__ import annotations

import json
import os
import sys

import pytest

from launcher.emulator import daemon
from launcher.image.engines.buildah import Buildah
from tests.docker import standins
from tests.support import run, run_emulator

pytestmark = [pytest.mark.buildah, pytest.mark.slow]
IMAGE = "europe-west1-docker.pkg.dev/my-project/flexpack/flexpack:1.0"


@pytest.fixture
def emulator_with_image(tmp_path, image):
    images = tmp_path / "images.toml"
    images.write_text(f'["{IMAGE}"]\noci = "{image}"\n')
    with run_emulator(tmp_path / "data", images=images) as info:
        yield info


def test_the_containers_end_with_the_emulator(emulator_with_image):
    def containers():
        found = json.loads(standins.run("buildah", "containers", "--json")) or []
        names = [container["containername"] for container in found]
        return [name for name in names if f"-{emulator_with_image.pid}-" in name]

    assert len(containers()) == 1
    daemon.stop(emulator_with_image.data_dir)
    assert containers() == []


USE_LAYOUT = """
import subprocess, sys
from pathlib import Path
from launcher.emulator.runtime.images import load_images
image = load_images(Path(sys.argv[1]), workdir=Path()).find(sys.argv[2])
program = "import os, sys; print(sys.executable, os.getcwd(), os.environ['OWN'])"
subprocess.run([image.python, "-c", program], env=image.process_env({}), check=True)
"""


def test_an_image_may_be_a_layout_beside_the_file_that_names_it(project, tmp_path):
    Buildah().save(project.build_args["PYTHON_IMAGE"], str(tmp_path / "layout"))
    images = tmp_path / "images.toml"
    images.write_text(f'["{IMAGE}"]\noci = "oci:layout"\nenv = {{ OWN = "variable" }}\n')
    try:
        # In a separate process, because the container ends with it.
        done = run(sys.executable, "-c", USE_LAYOUT, str(images), IMAGE, env=os.environ)
    finally:
        standins.run("buildah", "rmi", f"localhost{tmp_path}/layout")
    assert done.stdout == "/usr/local/bin/python / variable\n"


def test_an_image_may_be_named_by_the_digest_that_a_push_reports(project, registry, tmp_path):
    name = f"{registry.host}/python"
    made = standins.make_copy(project.build_args["PYTHON_IMAGE"], f"{name}:1")
    digest = Buildah().push(f"{name}:1")
    standins.run("buildah", "rmi", made)
    images = tmp_path / "images.toml"
    images.write_text(f'["{IMAGE}"]\noci = "{name}@{digest}"\nenv = {{ OWN = "variable" }}\n')
    # In a separate process, because the container ends with it.
    done = run(sys.executable, "-c", USE_LAYOUT, str(images), IMAGE, env=os.environ)
    assert done.stdout == "/usr/local/bin/python / variable\n"
    standins.run("buildah", "rmi", made)
