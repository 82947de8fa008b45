"""The same Dockerfile, built by Docker's own builder, by ``make image`` and as on Cloud Build.

Takes minutes, because it shares no layer with buildah.
"""

from __future__ import annotations

import os
import re
import subprocess

import pytest
import yaml

from launcher.image.engines.docker import Docker
from tests.docker import standins
from tests.support import BIN, PROJECT_ROOT, run

pytestmark = [pytest.mark.buildah, pytest.mark.slow]


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


def test_the_step_on_cloud_build_pushes_the_image_and_its_layers_and_reports_the_digest(
    docker_project, registry, tmp_path
):
    """Without its first line, whose driver is an image of a registry."""
    if "io.containerd.snapshotter" not in standins.run("docker", "info"):
        pytest.skip("this Docker daemon cannot write a cache into a registry")
    flags = [f"--build-arg={name}={value}" for name, value in docker_project.build_args.items()]
    flags += [
        "--build-arg=FLAVOUR=cpu",
        f"--secret=id=pip_conf,src={docker_project.pip_conf}",
        f"--secret=id=ca_bundle,src={standins.find_ca_bundle()}",
    ]
    values = {
        "_IMAGE": f"{registry.host}/flexpack:1.0",
        "_CACHE": f"{registry.host}/flexpack:buildcache",
        "_FLAGS": " ".join(flags),
        "_PIP_CONF_SECRET": "",
    }
    _, step = yaml.safe_load((PROJECT_ROOT / "docker" / "cloudbuild.yaml").read_text())["steps"]
    script = re.sub(r"(?<!\$)\$(_[A-Z_]+)", lambda name: values[name[1]], step["args"][1])
    lines = script.replace("$$", "$").splitlines(keepends=True)
    script = "".join(line for line in lines if "buildx create" not in line)
    subprocess.run(
        [step["entrypoint"], step["args"][0], script],
        cwd=docker_project.root,
        env={**os.environ, "BUILDER_OUTPUT": str(tmp_path)},
        check=True,
        timeout=600,
    )
    assert (tmp_path / "output").read_text().strip() == registry.find_digest("flexpack", "1.0")
    assert registry.find_digest("flexpack", "buildcache")
