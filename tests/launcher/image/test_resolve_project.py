"""The lock of a project, in addition to the image's."""

from __future__ import annotations

import shutil

import pytest

from launcher.errors import ImageError, InputError
from launcher.image.flavours import find_flavour
from launcher.image.locks import read_pins
from launcher.image.project_locks import merge_locks, refuse_project_locks
from launcher.image.resolve import write_locks
from launcher.image.resolve_project import write_project_lock
from tests.launcher.image.packages import add_wheel
from tests.support import BIN

pytestmark = pytest.mark.skipif(
    not (BIN / "uv").exists() and shutil.which("uv") is None, reason="uv is not installed"
)


def test_a_project_may_bring_a_torch_into_an_image_without(root, wheels, environ, project):
    flavour = find_flavour("no-torch")
    write_locks(root, [flavour], environ=environ)
    add_wheel(wheels, "vllm", "0.20", "torch==2.12.0", "nvidia-nccl-cu12")
    add_wheel(wheels, "nvidia-nccl-cu12", "2.30")
    project.requirements.write_text("vllm\n")
    result = write_project_lock(root, project, flavour, environ=environ)
    assert result.changes == ["+ nvidia-nccl-cu12 2.30", "+ torch 2.12.0", "+ vllm 0.20"]
    refuse_project_locks(root, [project], flavour)
    text, named = merge_locks([project], {})
    assert named == ("vllm",)
    assert read_pins(text) == result.after


def test_a_project_may_need_a_newer_glibc_than_flexpack(root, wheels, environ, project):
    flavour = find_flavour("no-torch")
    write_locks(root, [flavour], environ=environ)
    for version, glibc in (("0.5", "2_17"), ("0.32", "2_31"), ("0.33", "2_36")):
        add_wheel(wheels, "vllm", version)
        built = wheels / f"vllm-{version}-py3-none-any.whl"
        built.rename(wheels / f"vllm-{version}-cp38-abi3-manylinux_{glibc}_x86_64.whl")
    project.requirements.write_text("vllm\n")
    result = write_project_lock(root, project, flavour, environ=environ)
    assert result.after == {"vllm": "0.32"}


def test_the_lock_of_a_project_is_made_beside_the_images_own(root, wheels, environ, project):
    add_wheel(wheels, "setuptools", "82.0")
    add_wheel(wheels, "joblib", "1.5")
    add_wheel(wheels, "scikit-learn", "1.7.2", "joblib", "setuptools", "torch")
    project.requirements.write_text("scikit-learn  # trees\nsetuptools\n")
    flavour = find_flavour("cu130")
    result = write_project_lock(root, project, flavour, environ=environ)
    assert result.changes == ["+ joblib 1.5", "+ scikit-learn 1.7.2"]
    refuse_project_locks(root, [project], flavour)
    add_wheel(wheels, "joblib", "1.6")
    again = write_project_lock(root, project, flavour, environ=environ)
    assert (again.changed, again.changes) == (False, [])
    assert "://" not in project.lock.read_text()
    project.requirements.write_text("scikit-learn\nsetuptools\njoblib>=1.6\n")
    with pytest.raises(InputError, match=r"joblib>=1\.6 is locked to 1\.5"):
        refuse_project_locks(root, [project], flavour)
    result = write_project_lock(root, project, flavour, environ=environ)
    assert result.changes == ["  joblib 1.5 -> 1.6"]


def test_a_project_that_contradicts_the_image_is_not_locked(root, wheels, environ, project):
    flavour = find_flavour("cu130")
    project.requirements.write_text("setuptools<81\n")
    with pytest.raises(InputError, match=r"requires setuptools<81, but .*beam\.txt pins 81\.0"):
        write_project_lock(root, project, flavour, environ=environ)
    add_wheel(wheels, "old-way", "1.0", "setuptools<81")
    project.requirements.write_text("old-way\n")
    with pytest.raises(ImageError, match=r"(?s)cannot be installed .*setuptools<81.*81\.0"):
        write_project_lock(root, project, flavour, environ=environ)
    assert not project.lock.exists()


def test_a_project_has_wheels_of_its_own(root, environ, project):
    project.wheels.mkdir()
    add_wheel(project.wheels, "house-rules", "1.0")
    project.requirements.write_text("house-rules\n")
    result = write_project_lock(root, project, find_flavour("cu130"), environ=environ)
    assert result.changes == ["+ house-rules 1.0"]


def test_a_project_without_requirements_says_where_they_go(root, environ, project):
    with pytest.raises(InputError, match=r"requirements\.in: no such file; name in it"):
        write_project_lock(root, project, find_flavour("cu130"), environ=environ)
