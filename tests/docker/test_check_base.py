"""What a base image must have, and the errors about one that lacks it."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace

import pytest

from tests.support import PROJECT_ROOT


@pytest.fixture(scope="module")
def check():
    path = PROJECT_ROOT / "docker" / "check_base.py"
    spec = importlib.util.spec_from_file_location("check_base", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def base(check, tmp_path):
    return check.Base(
        python=(3, 11),
        is_virtual_environment=False,
        has_pip=True,
        stdlib=tmp_path,
        libc=("glibc", "2.36"),
        machine="x86_64",
    )


def test_a_good_base_passes(check, base):
    assert list(check.find_problems(base)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"python": (3, 12)}, "its 'python' is 3.12, but the locks are for 3.11"),
        ({"is_virtual_environment": True}, "that of a virtual environment"),
        ({"has_pip": False}, "has no pip"),
        ({"libc": ("glibc", "2.17")}, "glibc 2.17, but the wheels need glibc 2.28"),
        ({"libc": ("", "")}, "not glibc, but the wheels need glibc 2.28"),
        ({"machine": "aarch64"}, "it is for aarch64"),
    ],
)
def test_a_base_that_cannot_hold_the_image(check, base, changes, words):
    (problem,) = check.find_problems(replace(base, **changes))
    assert words in problem


def test_a_python_that_belongs_to_the_distribution(check, base, tmp_path):
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    (problem,) = check.find_problems(base)
    assert f"remove {tmp_path}/EXTERNALLY-MANAGED" in problem


def test_this_interpreter_is_described(check):
    found = check.read_base()
    assert found.python == (3, 11)
    assert (found.stdlib / "json").is_dir()
