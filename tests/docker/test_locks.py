"""The committed locks: complete, hashed, coherent, and free of addresses."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from launcher.image.flavours import find_flavour, load_flavours
from launcher.image.locks import BUILD_LOCK, REQUIREMENTS, extract_pin, read_lock, read_pin
from tests.support import PROJECT_ROOT

COMMITTED = [f for f in load_flavours() if (PROJECT_ROOT / f.lock).exists()]
CUDA_PACKAGES = ("nvidia-", "cuda-", "triton")

locked = pytest.mark.parametrize("flavour", COMMITTED, ids=[f.name for f in COMMITTED])


def read_requirements() -> dict[str, Requirement]:
    lines = (PROJECT_ROOT / REQUIREMENTS).read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def read_pins(flavour) -> dict[str, str]:
    text = read_lock(PROJECT_ROOT, flavour)
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", text, re.MULTILINE))


def test_the_flavours_that_need_no_special_index_are_locked():
    assert {"cu130", "cpu"} <= {flavour.name for flavour in COMMITTED}


def test_the_image_asks_for_what_the_project_asks_for():
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    declared = {}
    for line in project["dependencies"]:
        requirement = Requirement(line)
        declared[canonicalize_name(requirement.name)] = requirement
    for name, requirement in read_requirements().items():
        assert declared[name] == requirement, "differs between docker/ and pyproject.toml"


@locked
def test_every_requirement_is_pinned_as_it_was_asked_for(flavour):
    pins = read_pins(flavour)
    for name, requirement in read_requirements().items():
        assert requirement.specifier.contains(pins[name]), requirement
    assert pins["torch"] == flavour.torch_version


@locked
def test_every_pin_has_a_hash(flavour):
    text = read_lock(PROJECT_ROOT, flavour)
    for name in read_pins(flavour):
        assert "--hash=sha256:" in extract_pin(text, name), name


@locked
def test_a_lock_holds_no_address(flavour):
    text = read_lock(PROJECT_ROOT, flavour)
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


@locked
def test_the_build_tool_is_pinned_as_in_the_lock(flavour):
    build = (PROJECT_ROOT / BUILD_LOCK).read_text()
    assert build == extract_pin(read_lock(PROJECT_ROOT, flavour), "setuptools")


def test_the_flavours_differ_in_torch_and_cuda_only():
    cpu, cuda = read_pins(find_flavour("cpu")), read_pins(find_flavour("cu130"))
    different = {name for name in cpu | cuda if cpu.get(name) != cuda.get(name)}
    assert {name for name in different if not name.startswith(CUDA_PACKAGES)} == {"torch"}


def test_beam_is_the_same_in_every_flavour():
    locks = [read_lock(PROJECT_ROOT, flavour) for flavour in COMMITTED]
    assert len({read_pin(lock, "apache-beam") for lock in locks}) == 1
