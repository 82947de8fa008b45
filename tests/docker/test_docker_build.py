"""The same Dockerfile, built by Docker's own builder. Minutes, because it shares no layer."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from launcher.image.engines.docker import Docker
from tests.docker import standins
from tests.docker.conftest import Project
from tests.support import BIN, run

pytestmark = [pytest.mark.buildah, pytest.mark.slow]


@pytest.fixture(scope="module")
def docker_project(project, tmp_path_factory) -> Project:
    if problem := Docker().find_problem():
        pytest.skip(f"docker: {problem}")
    build_args = dict(project.build_args)
    if project.volumes:  # Docker's builder sees no folder of this machine.
        python = standins.add_folders(build_args["PYTHON_IMAGE"], project.volumes)
        build_args["PYTHON_IMAGE"] = python
    for image in build_args.values():
        standins.give_to_docker(image, tmp_path_factory.mktemp("image"))
    return replace(project, engine="docker", build_args=build_args, volumes=())


@pytest.fixture(scope="module")
def docker_image(docker_project) -> str:
    return docker_project.build("docker")


def test_both_roles_work(docker_project, docker_image):
    done = run(
        *(str(BIN / "flexpack"), "image", "test", "--engine=docker", "--no-size"),
        f"--image={docker_image}",
        env=os.environ,
        cwd=docker_project.root,
    )
    assert "16 predictions through Beam equal torch's" in done.stdout


def test_a_change_of_the_code_is_one_new_layer(docker_project, docker_image):
    changed = docker_project.build_changed("docker-changed", "parameters.py")
    before, after = (Docker().read_config(name).diff_ids for name in (docker_image, changed))
    assert len(before) == len(after)
    assert len(set(after) - set(before)) == 1
