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


def test_a_module_of_a_project_that_is_not_python_is_named(flexpack, project):
    (project / "churn" / "model.py").write_text("def f(:\n")
    status, out, _ = flexpack("check", "--code", str(project))
    assert status == 1
    assert f"ERROR entry-syntax: {project}/churn/model.py: invalid syntax" in out


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
    assert "--code: is locked for a single flavour, not cpu, cu130" in err


def test_another_platform_is_refused_with_what_an_arm_machine_needs(flexpack):
    status, out, err = flexpack("image", "build", "--platform", "linux/arm64")
    assert (status, out) == (2, "")
    assert "--platform 'linux/arm64': an image can only be for linux/amd64" in err
    assert "docker: 'docker run --privileged --rm tonistiigi/binfmt --install amd64'" in err
    assert "buildah: 'apt-get install qemu-user-static binfmt-support'" in err


def test_the_platform_of_every_image_may_be_named(flexpack, project):
    command = ("image", "tag", "--code", str(project))
    assert flexpack(*command, "--platform=linux/amd64")[1] == flexpack(*command)[1]


def test_a_big_file_is_warned_of_before_it_is_read(flexpack, project):
    with (project / "churn" / "model.pth").open("wb") as file:
        file.truncate(60_000_000)
    command = ("image", "tag", "--code", str(project))
    status, big, err = flexpack(*command)
    assert status == 0
    assert f"warning: --code {project}: its packages hold 60 MB, the most in churn/model.pth" in err
    (project / ".dockerignore").write_text("churn/*.pth\n")
    status, small, err = flexpack(*command)
    assert (status, err) == (0, "")
    (project / "churn" / "model.pth").unlink()
    assert flexpack(*command)[1] == small != big
