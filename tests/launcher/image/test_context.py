"""The files that an image is made of."""

from __future__ import annotations

import pytest

from launcher.image.context import (
    DOCKERFILE,
    IGNORE_FILE,
    find_context_files,
    hash_context,
    is_in_context,
)
from tests.support import PROJECT_ROOT


@pytest.fixture
def root(tmp_path):
    for name in (
        "a.py",
        "code/a.py",
        "code/a.pyc",
        "code/deep/b.py",
        "code/demo/c.py",
        "data/rows.csv",
        "docker/Dockerfile",
        "docker/probe.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ("*", []),
        ("*\n!code", ["code/a.py", "code/a.pyc", "code/deep/b.py", "code/demo/c.py"]),
        ("*\n!code/\n/code/demo\n**/*.pyc", ["code/a.py", "code/deep/b.py"]),
        ("*\n!code/deep", ["code/deep/b.py"]),
        ("*\n# a comment\n!*.py", ["a.py"]),
        ("*\n!code/?.py", ["code/a.py"]),
        ("*\n!**/[bc].py\n!a.py", ["a.py", "code/deep/b.py", "code/demo/c.py"]),
        ("docker\ncode\ndata", ["a.py"]),
    ],
)
def test_the_ignore_file_decides(root, rules, names):
    (root / IGNORE_FILE).write_text(rules)
    own = [str(DOCKERFILE), str(IGNORE_FILE)]
    assert [str(path) for path in find_context_files(root)] == sorted([*names, *own])
    for name in ("a.py", "code/a.py", "code/deep/b.py", "code/demo/c.py", "data/rows.csv"):
        assert is_in_context(root, name) == (name in names)


def test_every_name_and_content_counts(root):
    (root / IGNORE_FILE).write_text("*\n!code\n")
    hashes = {hash_context(root)}
    (root / "code" / "a.py").rename(root / "code" / "z.py")
    hashes.add(hash_context(root))
    (root / "code" / "z.py").write_text("changed")
    hashes.add(hash_context(root))
    (root / "docker" / "Dockerfile").write_text("changed")
    hashes.add(hash_context(root))
    assert len(hashes) == 4
    (root / "data" / "rows.csv").write_text("changed")
    assert hash_context(root) in hashes


def test_the_image_is_made_of_the_template_its_locks_and_the_programs_of_the_build():
    names = {str(path) for path in find_context_files(PROJECT_ROOT)}
    assert {"docker/install.py", "docker/locks/cpu/beam.txt", "template/main.py"} <= names
    assert not any(name.startswith("template/demo") for name in names)
    assert not names & {"README.md", "docker/probe.py", "docker/README.md"}
