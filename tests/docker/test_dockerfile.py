"""The Dockerfile and the files beside it, read as text: no engine is needed."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from dockerfile_parse import DockerfileParser

from launcher.image.context import DOCKERFILE, IGNORE_FILE
from launcher.image.flavours import default_flavour, find_flavour
from launcher.image.locks import read_lock, read_pin
from launcher.preflight.dockerfile import check_dockerfile
from launcher.preflight.dockerfile_reader import read_dockerfile
from launcher.preflight.image_rules import BOOT, LAUNCHER
from tests.support import BIN, PROJECT_ROOT

TEXT = (PROJECT_ROOT / DOCKERFILE).read_text()


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    parser = DockerfileParser(path=str(PROJECT_ROOT / DOCKERFILE), cache_content=True)
    return [
        (step["instruction"], step["value"])
        for step in parser.structure
        if step["instruction"] != "COMMENT"
    ]


def arguments(steps, name):
    return [value for instruction, value in steps if instruction == name]


@pytest.fixture(scope="module")
def defaults(steps) -> dict[str, str]:
    """The ARGs with their defaults."""
    pairs = [word.partition("=") for value in arguments(steps, "ARG") for word in value.split()]
    return {name: value for name, _, value in pairs}


@pytest.fixture(scope="module")
def env(steps) -> dict[str, str]:
    (value,) = arguments(steps, "ENV")
    return dict(word.split("=", 1) for word in value.split())


def test_hadolint_has_nothing_to_say():
    hadolint = BIN / "hadolint"
    if not hadolint.exists() and shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed")
    command = [str(hadolint) if hadolint.exists() else "hadolint", str(PROJECT_ROOT / DOCKERFILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_workers_role_is_the_entrypoint(steps):
    assert arguments(steps, "ENTRYPOINT") == [f'["{BOOT}"]']


def test_both_programs_are_copied(steps):
    copies = "\n".join(arguments(steps, "COPY"))
    assert "--from=beam /opt/apache/beam /opt/apache/beam" in copies
    assert f"--from=launcher {LAUNCHER}" in copies


def test_the_variables_are_those_of_both_roles(env):
    assert env == {
        "FLEX_TEMPLATE_PYTHON_PY_FILE": "/opt/flexpack/template/main.py",
        "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT": "1",
        "PYTHONPATH": "/opt/flexpack:/opt/project${PYTHONPATH:+:${PYTHONPATH}}",
        "LD_LIBRARY_PATH": "/usr/local/nvidia/lib64${LD_LIBRARY_PATH:+:${LD_LIBRARY_PATH}}",
        "PATH": "/usr/local/nvidia/bin:${PATH}",
    }


def test_what_changes_often_comes_last(steps):
    made = [value for name, value in steps if name in ("COPY", "RUN", "ADD")]
    order = [
        "install.py /opt/flexpack/locks/torch.txt",
        "install.py /opt/flexpack/locks/beam.txt",
        "--from=beam /opt/apache/beam",
        f"--from=launcher {LAUNCHER}",
        "install_system.py",
        "install.py /opt/flexpack/locks/project.txt",
        "install.py /opt/flexpack/locks/requirements.txt",
        "--from=code /code/kit/ /opt/",
        "--from=code /code/own/ /opt/",
    ]
    found = [next(n for n, value in enumerate(made) if words in value) for words in order]
    assert found == sorted(found)
    assert found[-1] == len(made) - 1


def test_no_image_is_a_moving_one(defaults):
    for name in ("PYTHON_IMAGE", "BEAM_IMAGE", "LAUNCHER_IMAGE"):
        tag = defaults[name].rpartition(":")[2]
        assert re.search(r"\d", tag), f"{name} has the tag {tag!r}"
        assert "latest" not in tag


def test_its_versions_are_those_of_the_locks(defaults):
    lock = read_lock(PROJECT_ROOT, find_flavour(default_flavour()))
    beam = read_pin(lock, "apache-beam")
    assert defaults["BEAM_IMAGE"] == f"docker.io/apache/beam_python3.11_sdk:{beam}"
    assert defaults["PYTHON_IMAGE"].startswith("docker.io/library/python:3.11-")
    assert defaults["FLAVOUR"] == default_flavour()


def test_it_holds_no_address():
    instructions = "\n".join(line for line in TEXT.splitlines() if not line.startswith("#"))
    assert "://" not in instructions


def test_it_uses_only_what_all_engines_know():
    instructions = "\n".join(line for line in TEXT.splitlines() if not line.startswith("#"))
    for unknown in ("<<", "--link", "--network", "from=beam,", "# syntax"):
        assert unknown not in instructions


def test_the_build_sees_only_what_is_allowed():
    lines = [
        line
        for line in (PROJECT_ROOT / IGNORE_FILE).read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    assert {line for line in lines if line.startswith("!")} == {
        "!docker/*.py",
        "!docker/locks",
        "!docker/project",
        "!docker/system-packages.txt",
        "!docker/wheels",
        "!template",
    }


def test_the_static_check_finds_nothing():
    assert check_dockerfile(read_dockerfile(PROJECT_ROOT / DOCKERFILE)) == []
