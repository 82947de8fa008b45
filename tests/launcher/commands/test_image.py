"""``flexpack image`` and ``flexpack check`` on the code of a project."""

from __future__ import annotations

import pytest

from launcher.cli import main


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "own"
    (folder / "churn").mkdir(parents=True)
    (folder / "churn" / "__init__.py").touch()
    return folder


@pytest.fixture
def flexpack(capsys):
    def run(*arguments):
        status = main(arguments)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_a_project_is_checked(flexpack, project):
    code = ("check", "--code", str(project))
    status, out, _ = flexpack(*code)
    assert (status, out.endswith(f", {project}.\n")) == (0, True)
    (project / "requirements.in").write_text("numpy<2\niniconfig\n")
    status, out, _ = flexpack(*code)
    assert status == 1
    assert f"lock-conflict: {project}/requirements.in requires numpy<2, but docker/locks/" in out
    assert f"lock-stale: {project}/requirements.in: iniconfig is not locked" in out
    assert flexpack(*code, "--ignore", "lock-conflict", "--ignore", "lock-stale")[0] == 0


def test_a_project_that_is_not_locked_is_not_built(flexpack, project):
    (project / "requirements.in").write_text("iniconfig\n")
    for command in (("image", "build"), ("image", "tag")):
        status, out, err = flexpack(*command, "--code", str(project))
        assert (status, out) == (2, "")
        assert f"iniconfig is not locked: run 'flexpack image lock --code {project}'" in err


def test_the_code_of_a_project_is_in_the_tag(flexpack, project):
    command = ("image", "tag", "--code", str(project))
    status, before, _ = flexpack(*command)
    assert (status, before.startswith("localhost/flexpack:0-t")) == (0, True)
    (project / "churn" / "model.py").touch()
    assert flexpack(*command)[1] != before


def test_a_project_is_locked_for_one_flavour(flexpack, project):
    status, _, err = flexpack("image", "lock", "cpu", "cu130", "--code", str(project))
    assert status == 2
    assert "--code: is locked for one flavour, not cpu, cu130" in err
