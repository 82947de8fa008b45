"""The committed locks: complete, hashed, coherent, and free of addresses."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from launcher.image.flavours import find_flavour, load_flavours
from launcher.image.locks import (
    find_lock_paths,
    parse_requirements,
    read_lock,
    read_pin,
    read_pins,
    read_requirement_lines,
    select_requirements,
)
from launcher.image.resolve import TEMPLATE_PACKAGES
from tests.support import PROJECT_ROOT

COMMITTED = [f for f in load_flavours() if (PROJECT_ROOT / f.lock_folder).exists()]
CUDA_PACKAGES = ("nvidia-", "cuda-", "triton")

locked = pytest.mark.parametrize("flavour", COMMITTED, ids=[f.name for f in COMMITTED])


REQUIREMENTS = parse_requirements(read_requirement_lines(PROJECT_ROOT))


def test_the_flavours_that_need_no_special_index_are_locked():
    assert {"cu130", "cpu", "no-torch"} <= {flavour.name for flavour in COMMITTED}


def test_the_image_installs_the_extra_of_the_template():
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["optional-dependencies"]["template"]):
        assert REQUIREMENTS[canonicalize_name(requirement.name)] == requirement


@locked
def test_every_requirement_is_pinned_as_it_was_asked_for(flavour):
    pins = read_pins(read_lock(PROJECT_ROOT, flavour))
    lines = select_requirements(read_requirement_lines(PROJECT_ROOT), flavour)
    for name, requirement in parse_requirements(lines).items():
        assert requirement.specifier.contains(pins[name]), requirement
    assert pins.get("torch") == flavour.torch_version


@locked
def test_every_pin_has_a_hash(flavour):
    text = read_lock(PROJECT_ROOT, flavour)
    pins = re.findall(r"^[a-z0-9](?:[^\n]*\\\n)*[^\n]*\n", text, re.MULTILINE)
    assert len(pins) == len(read_pins(text))
    for pin in pins:
        assert "--hash=sha256:" in pin


@locked
def test_a_lock_holds_no_address(flavour):
    text = read_lock(PROJECT_ROOT, flavour)
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


@locked
def test_the_layer_of_torch_holds_nothing_else(flavour):
    pins = read_pins((PROJECT_ROOT / find_lock_paths(flavour)["torch"]).read_text())
    own = {"torch"} if flavour.torch_version else set()
    assert {name for name in pins if not name.startswith(CUDA_PACKAGES)} == own


@locked
def test_the_last_layer_is_the_users_alone(flavour):
    pins = read_pins((PROJECT_ROOT / find_lock_paths(flavour)["project"]).read_text())
    assert pins == {}


def test_what_the_template_imports_is_in_the_layers_that_users_share():
    distributions = metadata.packages_distributions()
    imported = {
        canonicalize_name(distributions[name][0])
        for path in (PROJECT_ROOT / "template").rglob("*.py")
        for name in find_imports(path)
        if name in distributions and name not in ("template", "launcher", "google")
    }
    # A model file's packages are in the project's layer, and are imported only if there is such a
    # file.
    by_file = {"joblib", "onnxruntime", "safetensors", "scikit-learn", "skops", "transformers"}
    by_file |= {"xgboost", "xgboost-cpu"}
    assert imported - by_file <= set(TEMPLATE_PACKAGES)
    assert set(TEMPLATE_PACKAGES) == set(REQUIREMENTS)


def find_imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_the_flavours_differ_in_torch_and_cuda_only():
    cpu, cuda = (
        read_pins(read_lock(PROJECT_ROOT, find_flavour(name))) for name in ("cpu", "cu130")
    )
    different = {name for name in cpu | cuda if cpu.get(name) != cuda.get(name)}
    assert {name for name in different if not name.startswith(CUDA_PACKAGES)} == {"torch"}


def test_the_flavour_without_torch_has_the_other_packages_in_the_same_versions():
    plain, cpu = (
        read_pins(read_lock(PROJECT_ROOT, find_flavour(name))) for name in ("no-torch", "cpu")
    )
    assert plain.items() < cpu.items()
    assert not {name for name in plain if name.startswith(("torch", *CUDA_PACKAGES))}


def test_beam_is_the_same_in_every_flavour():
    locks = [read_lock(PROJECT_ROOT, flavour) for flavour in COMMITTED]
    assert len({read_pin(lock, "apache-beam") for lock in locks}) == 1
