"""Versions from git, in real repositories."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from launcher.image.context import IGNORE_FILE, Context, read_context
from launcher.image.git import build_version, legal_tag, read_git_state

IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Ada"), ("EMAIL", "ada@example.com"))
}


@pytest.fixture
def git(tmp_path):
    def run(*arguments):
        environ = {**os.environ, **IDENTITY, "GIT_CONFIG_GLOBAL": os.devnull}
        command = ["git", "-C", str(tmp_path), *arguments]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    run("init", "--quiet")
    return run


@pytest.fixture
def commit(git, tmp_path):
    ignore_file = tmp_path / IGNORE_FILE
    ignore_file.parent.mkdir()
    ignore_file.write_text("*\n!*.txt\n!*.py\n")

    def make(text):
        (tmp_path / "file.txt").write_text(text)
        git("add", "file.txt", "docker")
        git("commit", "--quiet", "--message", text)
        return git("rev-parse", "--short=7", "HEAD")

    return make


def version(path):
    return build_version(read_git_state(path, read_context(path, (), {})))


def test_a_tagged_commit_is_the_tag(git, commit, tmp_path):
    commit("one")
    git("tag", "1.2.0")
    assert version(tmp_path) == "1.2.0"


def test_commits_after_a_tag_are_counted(git, commit, tmp_path):
    commit("one")
    git("tag", "v1.2.0-rc1")
    commit("two")
    head = commit("three")
    assert version(tmp_path) == f"v1.2.0-rc1.dev2-g{head}"


def test_without_a_tag_all_commits_are_counted(commit, tmp_path):
    commit("one")
    head = commit("two")
    assert version(tmp_path) == f"0.dev2-g{head}"


def test_different_changes_give_different_versions(git, commit, tmp_path):
    head = commit("one")
    git("tag", "1.0")
    (tmp_path / "file.txt").write_text("changed")
    changed = version(tmp_path)
    assert re.fullmatch(rf"1\.0\.dev0-g{head}-t[0-9a-f]{{7}}", changed)
    assert version(tmp_path) == changed
    (tmp_path / "file.txt").write_text("changed again")
    assert version(tmp_path) != changed


def test_only_what_the_image_is_made_of_counts(git, commit, tmp_path):
    commit("one")
    git("tag", "1.0")
    with (tmp_path / "weights.pth").open("wb") as file:
        file.truncate(3 << 30)  # would take long to read
    assert version(tmp_path) == "1.0"
    (tmp_path / "new.py").write_text("code")
    new = version(tmp_path)
    assert "-t" in new
    (tmp_path / "weights.pth").unlink()
    assert version(tmp_path) == new


@pytest.mark.parametrize("is_staged", [False, True])
def test_a_file_that_is_gone_counts(git, commit, tmp_path, is_staged):
    commit("one")
    git("tag", "1.0")
    (tmp_path / "file.txt").unlink()
    if is_staged:
        git("add", "--all")
    assert "-t" in version(tmp_path)


def test_the_project_may_be_a_folder_of_the_repository(git, tmp_path):
    project = tmp_path / "project"
    (project / "docker").mkdir(parents=True)
    (project / IGNORE_FILE).write_text("*\n!*.py\n")
    (project / "code.py").write_text("one")
    (tmp_path / "other.py").write_text("one")
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    git("tag", "1.0")
    (tmp_path / "other.py").write_text("two")
    assert version(project) == "1.0"
    (project / "code.py").write_text("two")
    assert "-t" in version(project)


def test_asking_changes_nothing(git, commit, tmp_path):
    commit("one")
    (tmp_path / "new.py").write_text("code")
    before = git("status", "--porcelain"), git("count-objects")
    version(tmp_path)
    assert (git("status", "--porcelain"), git("count-objects")) == before


def test_no_repository(tmp_path):
    assert read_git_state(tmp_path, Context({})) is None


def test_no_commit(git, tmp_path):
    assert read_git_state(tmp_path, Context({})) is None


def test_with_flexpack_beside_it_a_commit_is_never_all_of_the_image(git, commit, tmp_path):
    head = commit("one")
    git("tag", "1.0")
    context = Context({"a": "b"})
    state = read_git_state(tmp_path, context, is_whole=False)
    assert build_version(state) == f"1.0.dev0-g{head}-t{context.hash[:7]}"


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("1.0", "1.0"),
        ("1.0+local", "1.0-local"),
        ("release/2", "release-2"),
        (".hidden", "hidden"),
        ("x" * 200, "x" * 128),
    ],
)
def test_tags_are_made_legal(text, tag):
    assert legal_tag(text) == tag
