"""The files that go into an image."""

from __future__ import annotations

import pytest

from launcher.image.context import (
    DOCKERFILE,
    IGNORE_FILE,
    find_context_files,
    is_in_context,
    read_context,
)
from launcher.image.projects import read_projects
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
    found = [str(path) for path in find_context_files(root)]
    assert found == sorted([*names, str(DOCKERFILE)])
    for name in ("a.py", "code/a.py", "code/deep/b.py", "code/demo/c.py", "data/rows.csv"):
        assert is_in_context(root, name) == (name in names)


def test_every_name_and_content_counts(root):
    (root / IGNORE_FILE).write_text("*\n!code\n")

    def hash_context(root):
        return read_context(root, (), {}).hash

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
    assert not any(name.startswith(("template/demo/", "template/trial/")) for name in names)
    assert not names & {"README.md", "docker/inventory.py", "docker/probe.py", "docker/README.md"}


def test_the_code_and_the_requirements_of_projects_are_added(root, tmp_path):
    (root / IGNORE_FILE).write_text("*\n!docker/*.txt\n!docker/wheels")
    (root / "docker" / "system-packages.txt").write_text("git\n")
    own = tmp_path / "own"
    for name, text in {
        "churn/__init__.py": "",
        "churn/labels.json": "[]",
        "churn/README.md": "",
        "churn/deep/model.py": "",
        "churn/.env": "secret",
        "churn/tests/test_model.py": "",
        "churn/__pycache__/a.pyc": "",
        "tests/__init__.py": "",
        "notes/a.py": "",
        "system-packages.txt": "# images\nlibgomp1  # OpenMP\n",
        "requirements.in": "six>=1\npandas\n",
        "requirements.txt": "six==1.17.0 --hash=sha256:0\nattrs==25.1 --hash=sha256:1\n"
        "pandas==2.3.1 --hash=sha256:2\n",
        "wheels/house-1.0-py3-none-any.whl": "",
    }.items():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text(text)
    context = read_context(root, read_projects([own]), {"pandas": "2.3.1"})
    code = "docker/project/code/churn"
    assert context.files == {
        "docker/Dockerfile": root / "docker" / "Dockerfile",
        "docker/system-packages.txt": "git\nlibgomp1\n",
        "docker/wheels/house-1.0-py3-none-any.whl": own / "wheels/house-1.0-py3-none-any.whl",
        "docker/project/requirements.in": "six\n",
        "docker/project/requirements.txt": "attrs==25.1 \\\n    --hash=sha256:1\n"
        "six==1.17.0 \\\n    --hash=sha256:0\n",
        f"{code}/__init__.py": own / "churn/__init__.py",
        f"{code}/labels.json": own / "churn/labels.json",
        f"{code}/README.md": own / "churn/README.md",
        f"{code}/deep/model.py": own / "churn/deep/model.py",
    }
    context.write(tmp_path / "written")
    written = tmp_path / "written"
    assert (written / code / "labels.json").read_text() == "[]"
    assert (written / "docker" / "project" / "requirements.in").read_text() == "six\n"
