"""What ``make image-test`` finds in real images that were broken on purpose."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest

from launcher.image.engines.buildah import Buildah
from launcher.image.testing import check_image
from launcher.preflight.image_rules import BOOT, LAUNCHER, PY_FILE
from tests.docker import standins

pytestmark = [pytest.mark.buildah, pytest.mark.slow]
ARM64 = 183


@contextlib.contextmanager
def broken(image, name, *settings):
    """Open an image's files to damage them; at the end they become an image of that name."""
    container = standins.run("buildah", "from", "--pull-never", image)
    try:
        yield Path(standins.run("buildah", "mount", container))
        if settings:
            standins.run("buildah", "config", *settings, container)
        standins.run("buildah", "commit", "--quiet", container, name)
    finally:
        standins.run("buildah", "rm", container)


def find(project, name):
    """Return the messages of all findings, by code."""
    try:
        findings = check_image(project.root, name, Buildah()).findings
    finally:
        standins.run("buildah", "rmi", name)
    found = {}
    for finding in findings:
        found.setdefault(finding.code, []).append(finding.message)
    return found


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_everything_that_is_broken_is_found_at_once(project, image):
    name = "localhost/flexpack-broken:files"
    settings = (
        f'--entrypoint=["{LAUNCHER}"]',
        "--env=FLEX_TEMPLATE_PYTHON_REQUIREMENTS_FILE=/requirements.txt",
        "--env=FLEX_TEMPLATE_PYTHON_SETUP_FILE=/setup.py",
        "--env=PUBSUB_EMULATOR_HOST=localhost:8085",
        "--env=PIP_INDEX_URL=https://pypi.example.com/simple",
        "--env=RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=",
        "--env=LD_LIBRARY_PATH=/usr/local/cuda/lib64",
    )
    with broken(image, name, *settings) as root:
        (root / BOOT.lstrip("/")).chmod(0o644)
        launcher = root / LAUNCHER.lstrip("/")
        program = bytearray(launcher.read_bytes())
        struct.pack_into("<H", program, 18, ARM64)
        launcher.write_bytes(program)
        (root / "opt/flexpack/template/main.py").chmod(0o700)
        (packages,) = root.glob("usr/local/lib/python3*/*-packages")
        (torch,) = packages.glob("torch-*.dist-info/METADATA")
        edit(torch, "Version: 2.13.0+cpu", "Version: 2.12.0+cpu")
        (pandas,) = packages.glob("pandas-*.dist-info/METADATA")
        edit(pandas, "\nName: pandas\n", "\nName: pandas\nRequires-Dist: no-such-package\n")
        edit(root / "opt/flexpack/template/needs/images.py", "div_(255)", "div_(250)")
    found = find(project, name)
    assert found.keys() == {
        *("image-entrypoint", "image-launch-installs", "image-local-address", "image-address"),
        *("image-environment", "image-driver-path", "image-boot", "image-launcher"),
        *("image-entry-file", "image-packages", "image-versions", "image-label"),
        "image-prediction",
    }
    assert len(found["image-launch-installs"]) == 2
    assert f"{BOOT} may not be executed" in found["image-boot"]
    assert f"{LAUNCHER} is made for arm64, not for amd64" in found["image-launcher"]
    assert "no-such-package" in found["image-packages"][0]
    assert "torch 2.12.0+cpu is installed, but the lock says 2.13.0+cpu" in found["image-versions"]
    assert "predictions differ from torch's" in found["image-prediction"][0]


def test_an_image_that_can_play_neither_role(project, image):
    name = "localhost/flexpack-broken:roles"
    with broken(image, name, "--arch=arm64", f"--env={PY_FILE}=/opt/flexpack/main.py") as root:
        (root / "opt/flexpack/template/main.py").unlink()
        (root / BOOT.lstrip("/")).unlink()
    found = find(project, name)
    assert found.keys() == {
        *("image-platform", "image-boot", "image-entry-file", "image-launch", "image-prediction")
    }
    assert f"{BOOT} does not exist" in found["image-boot"]
    assert "can't open file '/opt/flexpack/main.py'" in found["image-launch"][0]
    assert "can't open file '/opt/flexpack/main.py'" in found["image-prediction"][0]
