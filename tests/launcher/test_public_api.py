"""The names that the package offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import launcher


def test_all_is_sorted_and_resolves_to_public_definitions():
    assert launcher.__all__ == sorted(launcher.__all__)
    assert set(launcher.__all__) == set(launcher._HOMES)
    for name in launcher.__all__:
        assert getattr(launcher, name).__name__ == name
        assert getattr(launcher, name).__module__ == launcher._HOMES[name]


def test_a_star_import_gives_all_of_it():
    names: dict[str, object] = {}
    exec("from launcher import *", names)
    assert set(launcher.__all__) <= names.keys()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'launcher' has no attribute 'Job2'"):
        launcher.Job2  # noqa: B018


def test_importing_the_package_loads_none_of_its_modules():
    program = "import sys, launcher; print([m for m in sys.modules if m.startswith('launcher.')])"
    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert printed == "[]\n"
