"""The same Dockerfile, built with Docker, by ``make image`` and as on Cloud Build.

It takes minutes, because it shares no layers with buildah; everything that both have in common
is tested with buildah. ``make test-wide`` runs it.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from launcher.errors import ImageError
from launcher.image.engines.docker import Docker
from tests.docker import standins
from tests.docker.project import DOUBLE
from tests.support import BIN, PROJECT_ROOT, run

pytestmark = [pytest.mark.buildah, pytest.mark.slow, pytest.mark.wide]


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """A project that needs no packages."""
    folder = tmp_path_factory.mktemp("code")
    standins.write(folder / "own" / "__init__.py", "")
    standins.write(folder / "own" / "model.py", DOUBLE)
    standins.write(folder / "model.json", '{"factor": 2}')
    standins.write(folder / "rows.csv", "x\n1\n2\n3\n")
    return folder


@pytest.fixture(scope="module")
def docker_image(docker_project, code) -> str:
    return docker_project.build("docker", code=(code,))


def test_both_roles_and_the_users_model_work(docker_project, docker_image, code):
    done = run(
        *(str(BIN / "flexpack"), "image", "test", "--engine=docker", "--no-size"),
        f"--image={docker_image}",
        *("--model-class=own.model:Double", f"--model-path={code}/model.json"),
        f"--input={code}/rows.csv",
        env=os.environ,
        cwd=docker_project.root,
        timeout_sec=600,
    )
    assert "16 predictions through Beam equal torch's" in done.stdout
    assert "own.model:Double predicted 3 of 3 rows." in done.stdout


def test_a_base_for_another_processor_is_named(docker_project, tmp_path):
    program = bytearray(Path("/usr/bin/true").read_bytes())
    program[18:20] = (183).to_bytes(2, "little")  # ARM, by the ELF header
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").write_bytes(program)
    (tmp_path / "bin" / "sh").chmod(0o755)
    standins.run("tar", "-C", str(tmp_path), "-cf", str(tmp_path / "arm.tar"), "bin")
    name = "localhost/flexpack-arm:1"
    standins.run("docker", "import", str(tmp_path / "arm.tar"), name)
    try:
        with pytest.raises(ImageError, match="another processor; use one for linux/amd64"):
            docker_project.build("arm", PYTHON_IMAGE=name)
    finally:
        standins.run("docker", "rmi", name)


def test_a_change_of_the_code_is_one_new_layer(docker_project, docker_image, code):
    before = Docker().read_config(docker_image).diff_ids
    (code / "own" / "more.py").write_text("MORE = True\n")
    changed = docker_project.build("docker-changed", code=(code,))
    after = Docker().read_config(changed).diff_ids
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]
    changed = docker_project.build_changed("docker-changed", "parameters.py", code=(code,))
    again = Docker().read_config(changed).diff_ids
    assert [mine == other for mine, other in zip(again, after, strict=True)].count(False) == 1


def test_the_step_on_cloud_build_pushes_the_image_and_its_layers_and_reports_the_digest(
    docker_project, registry, tmp_path
):
    """The build skips the first line, whose frontend is an image in a registry."""
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
