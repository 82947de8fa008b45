"""A correct image, the probe's results for it, and packages for uv to lock."""

from __future__ import annotations

import os

import pytest

from launcher.image.config import ImageConfig
from launcher.image.flavours import find_flavour
from launcher.image.probe import (
    Attempt,
    Facts,
    OperatingSystem,
    Package,
    ProbedFile,
    Program,
)
from launcher.image.projects import read_projects
from launcher.image.resolve import write_locks
from launcher.preflight.image_rules import BOOT, LAUNCHER
from tests.launcher.image.packages import add_wheel

PROGRAM = ProbedFile(exists=True, executable=True, readable_by_all=True, machine="amd64")


@pytest.fixture
def config() -> ImageConfig:
    return ImageConfig(
        architecture="amd64",
        os="linux",
        entrypoint=(BOOT,),
        env={
            "PATH": "/usr/local/nvidia/bin:/usr/local/bin:/usr/bin",
            "FLEX_TEMPLATE_PYTHON_PY_FILE": "/opt/flexpack/template/main.py",
            "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT": "1",
            "LD_LIBRARY_PATH": "/usr/local/nvidia/lib64",
        },
        labels={
            "flexpack.flavour": "cpu",
            "flexpack.beam": "2.77.0",
            "flexpack.torch": "2.13.0+cpu",
            "flexpack.cuda": "none",
        },
        history=("COPY template /opt/flexpack/template",),
        diff_ids=("sha256:" + "1" * 64,),
    )


@pytest.fixture
def facts() -> Facts:
    return Facts(
        python_version="3.11.9",
        operating_system=OperatingSystem(id="debian", version="12", name="Debian 12 (bookworm)"),
        programs={
            BOOT: Program(
                sha256="1" * 64,
                go="1.25.3",
                modules=(
                    Package(name="github.com/apache/beam/sdks/v2", version="(devel)"),
                    Package(name="google.golang.org/grpc", version="v1.76.0"),
                ),
            ),
            LAUNCHER: Program(sha256="2" * 64, go=None, modules=()),
        },
        is_virtual_environment=False,
        boot=PROGRAM,
        launcher=PROGRAM,
        entry_file=ProbedFile(exists=True, executable=True, readable_by_all=True, machine=None),
        cuda_version=None,
        packages=(
            Package(name="apache-beam", version="2.77.0", license="Apache-2.0"),
            Package(name="torch", version="2.13.0+cpu"),
        ),
        system_packages=(
            Package(name="bash", version="5.2.15-2", architecture="amd64", source="bash"),
            Package(name="libc6", version="2.36-9+deb12u14", architecture="amd64", source="glibc"),
        ),
        pip_check="",
        inputs=Attempt(result=None, error=None),
        launch=Attempt(result="JOB_TYPE_BATCH", error=None),
        prediction=Attempt(result={"rows": 16, "differing": 0}, error=None),
        code_failures=(),
        package_failures=(),
        trial=None,
    )


@pytest.fixture
def wheels(tmp_path):
    """A folder of empty packages, which are the only ones that uv sees."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, version in (
        ("setuptools", "80.0"),
        ("setuptools", "81.0"),
        ("torch", "2.12.0"),
        ("torch", "2.13.0"),
    ):
        add_wheel(folder, name, version)
    return folder


@pytest.fixture
def environ(wheels, tmp_path):
    config = tmp_path / "uv.toml"
    config.write_text("[pip]\nno-index = true\n")
    own = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    own.pop("PIP_FIND_LINKS", None)
    return {**own, "UV_CONFIG_FILE": str(config), "UV_FIND_LINKS": str(wheels)}


@pytest.fixture
def root(tmp_path):
    docker = tmp_path / "docker"
    (docker / "locks").mkdir(parents=True)
    (docker / "requirements.in").write_text("torch==2.13.0\nsetuptools\n")
    return tmp_path


@pytest.fixture
def project(root, environ, tmp_path):
    """A user's own project, for an image with torch and setuptools 81."""
    write_locks(root, [find_flavour("cu130")], environ=environ)
    folder = tmp_path / "own"
    (folder / "churn").mkdir(parents=True)
    (folder / "churn" / "__init__.py").touch()
    (project,) = read_projects([folder])
    return project
