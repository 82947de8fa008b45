"""The check that stops a build whose parts do not match."""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata

import pytest

from tests.support import PROJECT_ROOT

BEAM, TORCH = metadata.version("apache-beam"), metadata.version("torch")
LOCK = f"apache-beam[gcp]=={BEAM} \\\n    --hash=sha256:0\ntorch=={TORCH} \\\n    --hash=sha256:0\n"
HERE = f"cp{sys.version_info.major}{sys.version_info.minor}"
WHEEL = f"Wheel-Version: 1.0\nTag: {HERE}-{HERE}-linux_x86_64\n"


@pytest.fixture(scope="module")
def check():
    path = PROJECT_ROOT / "docker" / "check_versions.py"
    spec = importlib.util.spec_from_file_location("check_versions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def find(lock=LOCK, boot_version=BEAM, wheel=WHEEL):
        boot_metadata = f"Metadata-Version: 2.1\nName: apache-beam\nVersion: {boot_version}\n"
        return list(module.find_problems(lock, boot_metadata=boot_metadata, boot_wheel=wheel))

    return find


def test_what_belongs_together_passes(check):
    assert check() == []


def test_another_beam_in_the_boot_image(check):
    (problem,) = check(boot_version="2.73.0")
    assert "boot program of Beam 2.73.0" in problem
    assert f"use the image of Beam {BEAM}" in problem


def test_another_python_in_the_boot_image(check):
    (problem,) = check(wheel=WHEEL.replace(HERE, "cp314"))
    assert "made for cp314" in problem
    assert HERE in problem


def test_a_lock_without_torch_and_an_image_that_has_it(check):
    (problem,) = check(lock=f"apache-beam[gcp]=={BEAM}\n")
    assert f"torch {TORCH} is installed, but the lock says None" in problem


def test_a_boot_image_whose_wheel_fits_any_python_says_nothing(check):
    assert check(wheel="Tag: py3-none-any\n") == []


@pytest.mark.parametrize("name", ["apache-beam", "torch"])
def test_another_version_than_the_locks(check, name):
    installed = metadata.version(name)
    (problem,) = check(lock=LOCK.replace(f"=={installed}", "==1.0"))
    assert f"{name} {installed} is installed, but the lock says 1.0" in problem
