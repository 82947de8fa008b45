"""A build refuses locks that do not match the requirements."""

from __future__ import annotations

import shutil

import pytest

from launcher.errors import InputError
from launcher.image.flavours import find_flavour
from launcher.image.locks import REQUIREMENTS, check_locks, find_lock_paths, read_lock, read_pin
from tests.support import PROJECT_ROOT

CPU = find_flavour("cpu")


@pytest.fixture
def root(tmp_path):
    shutil.copytree(PROJECT_ROOT / "docker", tmp_path / "docker")
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_committed_locks_are_those_of_the_requirements(root):
    for name in ("cpu", "cu130"):
        check_locks(root, find_flavour(name))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("orjson>=3.9", "orjson>=3.9\nscikit-learn", "scikit-learn is not locked"),
        ("pillow>=10", "pillow>=10,<11", r"pillow<11,>=10 is locked to 1\d"),
        ("torch==2.13.0", "torch==2.12.0", r"torch==2\.12\.0 is locked to 2\.13\.0\+cpu"),
        ("orjson>=3.9", "", "has changed since docker/locks/cpu was made"),
        ("pillow>=10", "pillow>=9", "has changed since docker/locks/cpu was made"),
        ("google-apitools", "orjson", "has changed since docker/locks/cpu was made"),
        ("orjson>=3.9", "orjson >", "'orjson >' is not a requirement"),
    ],
)
def test_requirements_that_are_not_locked(root, old, new, words):
    edit(root / REQUIREMENTS, old, new)
    with pytest.raises(InputError, match=words):
        check_locks(root, CPU)


def test_a_comment_changes_nothing(root):
    edit(root / REQUIREMENTS, "pillow>=10", "# Images.\n  pillow>=10  # not 9\n")
    check_locks(root, CPU)


@pytest.mark.parametrize("layer", ["torch", "beam", "project"])
def test_a_lock_that_was_edited(root, layer):
    path = root / find_lock_paths(CPU)[layer]
    path.write_text(path.read_text() + "six==1.17.0 --hash=sha256:0\n")
    with pytest.raises(InputError, match=rf"locks/cpu/{layer}\.txt: was edited .* run 'make lock'"):
        check_locks(root, CPU)


def test_a_pin_with_the_hashes_of_another_version(root):
    version = read_pin(read_lock(root, CPU), "orjson")
    edit(root / find_lock_paths(CPU)["beam"], f"orjson=={version}", "orjson==3.9.0")
    with pytest.raises(InputError, match="its pins and hashes may not match"):
        check_locks(root, CPU)
