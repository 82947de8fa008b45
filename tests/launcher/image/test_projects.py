"""Users' own projects: what they hold, and what they must not hold."""

from __future__ import annotations

import os

import pytest

from launcher.errors import InputError
from launcher.image.projects import find_code, find_weight, read_projects


@pytest.fixture
def make(tmp_path):
    """Make a project from files, empty or with the given text."""

    def make(name, *files, **texts):
        folder = tmp_path / name
        folder.mkdir()
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).touch()
        for file, text in texts.items():
            (folder / f"{file.replace('_', '-')}.txt").write_text(text)
        return folder

    return make


def test_packages_are_subfolders_with_an_init_file(make):
    folder = make(
        "own",
        *("churn/__init__.py", "prices/__init__.py", "tests/__init__.py"),
        *("notebooks/a.py", ".hidden/__init__.py", "not-a-name/__init__.py", "setup.py"),
    )
    (project,) = read_projects([folder])
    assert project.packages == ("churn", "prices")
    assert [str(name) for name, _ in find_code(project)] == [
        "churn/__init__.py",
        "prices/__init__.py",
    ]


def test_a_linked_folder_is_code_too(make, tmp_path):
    folder = make("own", "churn/__init__.py")
    shared = make("shared", "rules.py")
    (folder / "churn" / "shared").symlink_to(shared)
    names = [str(name) for name, _ in find_code(*read_projects([folder]))]
    assert names == ["churn/__init__.py", "churn/shared/rules.py"]


def test_files_with_odd_names_are_code(make):
    odd = (
        "with space.txt",
        "ünïcode ✓.txt",
        "narrow\u202fspace",
        'quote"$x',
        "Data.csv",
        "data.csv",
    )
    folder = make("own", "churn/__init__.py", *(f"churn/{name}" for name in odd))
    names = {name.name for name, _ in find_code(*read_projects([folder]))}
    assert names == {"__init__.py", *odd}


def test_a_repository_inside_a_package_is_code_without_its_history(make):
    folder = make(
        "own", "churn/__init__.py", "churn/sub/.git/HEAD", "churn/sub/a.py", "churn/b/.git"
    )
    names = [str(name) for name, _ in find_code(*read_projects([folder]))]
    assert names == ["churn/__init__.py", "churn/sub/a.py"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda own: (own / "odd").symlink_to("nowhere"),
            "'churn/odd' is a link to 'nowhere', which",
        ),
        (lambda own: (own / "odd").symlink_to("odd"), "'churn/odd' is a link to 'odd', which does"),
        (
            lambda own: (own / "odd").symlink_to("."),
            "'churn/odd' is a link to a folder that contains it",
        ),
        (lambda own: os.mkfifo(own / "odd"), "'churn/odd' is neither a file nor a folder"),
        (lambda own: (own / "o\ndd").touch(), r"'churn/o\\ndd' has a name that is not text"),
        (lambda own: (own / "o\udcffd").touch(), r"'churn/o\\udcffd' has a name that is not text"),
    ],
)
def test_what_cannot_be_copied_is_named(make, spoil, words):
    folder = make("own", "churn/__init__.py")
    spoil(folder / "churn")
    with pytest.raises(InputError, match=f"--code {folder}: {words}"):
        list(find_code(*read_projects([folder])))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["churn/secret", "churn/folder"])
def test_what_may_not_be_read_is_named(make, name):
    folder = make("own", "churn/__init__.py", "churn/secret", "churn/folder/a")
    (folder / name).chmod(0)
    try:
        with pytest.raises(InputError, match=r"cannot be read by you|Permission denied"):
            list(find_code(*read_projects([folder])))
    finally:
        (folder / name).chmod(0o700)


def test_system_packages_are_names_with_comments(make):
    folder = make("own", "churn/__init__.py", system_packages="# images\nlibgl1\n\nbc=1.0-1  # x\n")
    (project,) = read_projects([folder])
    assert project.system_packages == ("libgl1", "bc=1.0-1")


def test_a_folder_of_requirements_alone_is_a_project(make):
    (project,) = read_projects([make("own", "requirements.in", "model.onnx")])
    assert project.packages == ()
    assert list(find_code(project)) == []


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ((), "holds no package, a subfolder with an __init__.py"),
        (("churn.py",), "holds no package"),
        (("churn/model.py", "requirements.in"), "holds no package"),
        (("tests/__init__.py",), "holds no package"),
        (("__init__.py", "model.py"), "it is a package itself: pass the folder above"),
        (("src/churn/__init__.py",), "there are some in src: pass --code"),
        (("template/__init__.py",), "'template' has the name of one of flexpack's own"),
        (("launcher/__init__.py", "a/__init__.py"), "'launcher' has the name of one of"),
        (("json/__init__.py",), "'json' would hide Python's module"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_a_folder_that_is_not_a_project(make, files, words):
    with pytest.raises(InputError, match=words):
        read_projects([make("own", *files)])


def test_weights_among_the_code_are_warned_of(make):
    folder = make("own", "churn/__init__.py", "churn/model.pth")
    (project,) = read_projects([folder])
    assert find_weight(project) is None
    with (folder / "churn" / "model.pth").open("wb") as file:
        file.truncate(80_000_000)
    warning = find_weight(project)
    assert "its packages hold 80 MB, the most in churn/model.pth (80 MB). Each build" in warning
    assert f"name the file in {folder}/.dockerignore" in warning
    (folder / ".dockerignore").write_text("**/*.pth\n")
    assert find_weight(project) is None


def test_what_the_ignore_file_excludes_stays_out(make):
    folder = make(
        "own",
        *("churn/__init__.py", "churn/model.pth", "churn/data/a.csv", "churn/data/labels.json"),
        *("churn/raw/a.csv", "churn/raw/deep/b.csv"),
    )
    (folder / "churn" / "raw" / "around").symlink_to(folder / "churn")
    (folder / ".dockerignore").write_text("**/*.pth\nchurn/data\n!churn/data/*.json\n/churn/raw/\n")
    (project,) = read_projects([folder])
    names = [str(name) for name, _ in find_code(project)]
    assert names == ["churn/__init__.py", "churn/data/labels.json"]


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(InputError, match=r"--code .*/nowhere: no such folder"):
        read_projects([tmp_path / "nowhere"])


def test_two_projects_with_the_same_package(make):
    folders = [make(name, "churn/__init__.py") for name in ("one", "two")]
    with pytest.raises(InputError, match=r"two: the package 'churn' is also in .*/one"):
        read_projects(folders)


@pytest.mark.parametrize("line", ["-o Dir=/", "libGL1", "a b", "bc; rm x"])
def test_a_line_that_is_not_a_system_package(make, line):
    folder = make("own", "churn/__init__.py", system_packages=f"bc\n{line}\n")
    with pytest.raises(InputError, match=r"system-packages\.txt: .* is not a Debian package"):
        read_projects([folder])
