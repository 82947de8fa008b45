"""An image as it should be: its configuration and what the probe finds in it."""

from __future__ import annotations

import pytest

from launcher.image.config import ImageConfig
from launcher.image.probe import Attempt, Facts, Package, ProbedFile
from launcher.preflight.image_rules import BOOT

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
        python_version="3.11",
        is_virtual_environment=False,
        boot=PROGRAM,
        launcher=PROGRAM,
        entry_file=ProbedFile(exists=True, executable=True, readable_by_all=True, machine=None),
        cuda_version=None,
        packages=(
            Package(name="apache-beam", version="2.77.0", license="Apache-2.0"),
            Package(name="torch", version="2.13.0+cpu"),
        ),
        system_packages=(Package(name="libc6", version="2.36-9+deb12u14"),),
        pip_check="",
        inputs=Attempt(result=None, error=None),
        launch=Attempt(result="JOB_TYPE_BATCH", error=None),
        prediction=Attempt(result={"rows": 16, "differing": 0}, error=None),
        code_failures=(),
        package_failures=(),
        trial=None,
    )
