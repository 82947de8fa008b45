"""The command lines of the engines, and which engine is chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from launcher.errors import ImageError, InputError
from launcher.image.build import run_build
from launcher.image.context import Context
from launcher.image.engines import Choice, buildah, choose_engine, cloud_build, docker
from launcher.image.engines.buildah import Buildah
from launcher.image.plan import BuildPlan
from launcher.image.tools import ToolError, follow_tool, run_tool

REFERENCE = "europe-west1-docker.pkg.dev/my-project/flexpack/flexpack:1.0"
FOLDER = Path("/context")
PLAN = BuildPlan(
    kit=Path("/kit"),
    reference=REFERENCE,
    build_args={"FLAVOUR": "cpu"},
    labels={"version": "1.0"},
    context=Context({}),
    secrets={"pip_conf": Path("/home/ada/pip.conf")},
)


def test_docker():
    assert docker.build_command(PLAN, FOLDER) == [
        "docker",
        "buildx",
        "build",
        "--file=/context/docker/Dockerfile",
        "--platform=linux/amd64",
        "--provenance=false",
        "--load",
        f"--tag={REFERENCE}",
        "--progress=plain",
        "--build-arg=FLAVOUR=cpu",
        "--label=version=1.0",
        "--secret=id=pip_conf,src=/home/ada/pip.conf",
        "/context",
    ]


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        (REFERENCE, REFERENCE.removesuffix(":1.0")),
        ("docker.io/ada/flexpack:1.0", "ada/flexpack"),
    ],
)
def test_dockers_digest_of_a_pushed_image(reference, repository):
    digests = ["localhost:5000/flexpack@sha256:1", f"{repository}@sha256:2"]
    assert docker.find_digest(reference, digests) == "sha256:2"
    with pytest.raises(ImageError, match="docker reports no digest"):
        docker.find_digest(reference, digests[:1])


def test_buildah():
    plan = replace(PLAN, volumes=(Path("/wheels"),))
    assert buildah.build_command(plan, FOLDER) == [
        "buildah",
        "build",
        "--layers",
        "--force-rm",
        "--file=/context/docker/Dockerfile",
        "--platform=linux/amd64",
        f"--tag={REFERENCE}",
        "--build-arg=FLAVOUR=cpu",
        "--label=version=1.0",
        "--secret=id=pip_conf,src=/home/ada/pip.conf",
        "--volume=/wheels:/wheels:ro",
        "/context",
    ]


def test_cloud_build():
    name = REFERENCE.removesuffix(":1.0")
    assert cloud_build.build_command(replace(PLAN, secrets={}), FOLDER) == [
        "gcloud",
        "builds",
        "submit",
        "/context",
        "--config=/kit/docker/cloudbuild.yaml",
        "--project=my-project",
        f"--substitutions=^;^_IMAGE={REFERENCE};_CACHE={name}:buildcache;"
        "_FLAGS=--build-arg=FLAVOUR=cpu --label=version=1.0",
    ]


def test_cloud_build_cannot_have_files_of_this_machine():
    with pytest.raises(InputError, match=r"--pip-conf: .* --pip-conf-secret pip-conf"):
        cloud_build.build_command(PLAN, FOLDER)


def test_cloud_build_reads_pips_configuration_from_secret_manager():
    plan = replace(PLAN, secrets={}, pip_conf_secret="our-index")
    assert cloud_build.build_command(plan, FOLDER)[-1].endswith(";_PIP_CONF_SECRET=our-index")


@pytest.mark.parametrize("engine", [Buildah(), docker.Docker()], ids=["buildah", "docker"])
def test_no_other_engine_reads_secret_manager(tmp_path, engine):
    plan = replace(PLAN, secrets={}, pip_conf_secret="our-index")
    with pytest.raises(InputError, match="--pip-conf-secret: only Cloud Build reads it"):
        run_build(tmp_path, plan, engine, print)


def test_cloud_build_is_asked_of_the_project_of_the_repository():
    reference = "us-docker.pkg.dev/example.com/my-project/images/flexpack:1.0"
    command = cloud_build.build_command(replace(PLAN, reference=reference, secrets={}), FOLDER)
    assert "--project=example.com:my-project" in command


def test_cloud_build_needs_a_registry():
    plan = replace(PLAN, reference="localhost/flexpack:1.0", secrets={})
    with pytest.raises(InputError, match=r"REGION-docker\.pkg\.dev"):
        cloud_build.build_command(plan, FOLDER)


def test_no_engine_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError) as failure:
        choose_engine()
    for words in ("docker: not installed", "buildah: not installed", "gcloud is not installed"):
        assert words in str(failure.value)


def test_an_arm_machine_must_emulate(tmp_path):
    problem = buildah.find_emulation_problem("aarch64", tmp_path)
    assert problem == (
        "this machine is aarch64, and emulates linux/amd64 only after "
        "'apt-get install qemu-user-static binfmt-support'"
    )
    assert buildah.find_emulation_problem("x86_64", tmp_path) is None
    (tmp_path / "qemu-x86_64").touch()
    assert buildah.find_emulation_problem("aarch64", tmp_path) is None


@pytest.mark.parametrize(
    ("platforms", "expected"),
    [
        ("linux/amd64, linux/amd64/v2, linux/386", True),
        ("linux/arm64, linux/amd64*", True),
        ("linux/arm64, linux/arm/v7", False),
    ],
)
def test_dockers_builder_says_what_it_builds_for(platforms, expected):
    shown = f"Name:   default\nDriver: docker\n\nNodes:\nName: default\nPlatforms: {platforms}\n"
    assert docker.has_platform(shown) is expected


def test_an_engine_that_does_not_exist():
    with pytest.raises(InputError, match=r"--engine 'dockr': one of docker, .* mean 'docker'"):
        choose_engine("dockr")


def test_cloud_build_is_no_engine_for_what_must_be_here():
    with pytest.raises(InputError, match=r"one of docker, buildah$"):
        choose_engine("cloudbuild", local=True)


def test_the_choice_says_why():
    choice = Choice(Buildah(), ("docker: its daemon does not answer",))
    assert str(choice) == "buildah; docker: its daemon does not answer"


def test_a_tool_that_fails_shows_its_last_words():
    with pytest.raises(ToolError, match=r"'git nonsense' failed with exit status 1\n.*not a git"):
        run_tool(["git", "nonsense"], timeout_sec=60)


def test_a_tool_that_hangs_is_stopped():
    with pytest.raises(ImageError, match=r"'sleep 60' was stopped after 0\.1 s"):
        run_tool(["sleep", "60"], timeout_sec=0.1)


def test_a_tool_that_is_not_there():
    with pytest.raises(ToolError, match="'no-such-tool' is not installed"):
        run_tool(["no-such-tool"], timeout_sec=60)


@pytest.mark.parametrize(
    ("summarize", "line", "shown"),
    [
        (
            buildah.summarize,
            "[4/4] STEP 6/23: RUN --mount=type=cache pip",
            "6/23 RUN pip",
        ),
        (buildah.summarize, "STEP 1/2: FROM scratch", "1/2 FROM scratch"),
        (buildah.summarize, "Collecting numpy", None),
        (docker.summarize, "#12 [stage-3  6/23] RUN --mount=type=cache pip", "6/23 RUN pip"),
        (docker.summarize, "#12 [stage-3 6/23] RUN --mount=type=cache pip", "6/23 RUN pip"),
        (docker.summarize, "#5 [2/2] COPY a b", "2/2 COPY a b"),
        (docker.summarize, "#12 1.2 Collecting numpy", None),
    ],
)
def test_the_progress_of_a_build_is_its_steps(summarize, line, shown):
    assert summarize(line) == shown


def test_a_long_step_is_cut():
    assert buildah.summarize(f"STEP 1/2: RUN {'x' * 200}").endswith("xxx...")


def test_a_build_without_the_cache():
    plan = replace(PLAN, use_cache=False)
    assert "--no-cache" in buildah.build_command(plan, FOLDER)
    assert "--no-cache" in docker.build_command(plan, FOLDER)


def follow(script, timeout_sec=60):
    follow_tool(
        ["sh", "-c", script],
        timeout_sec=timeout_sec,
        summarize=lambda line: line if line.startswith("step") else None,
        report=print,
    )


def test_a_tool_is_followed(capsys):
    follow("echo step 1; echo noise; echo step 2 >&2")
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" s  ")[2] for line in lines] == ["step 1", "step 2"]


def test_what_a_followed_tool_said_last_is_in_its_error():
    with pytest.raises(ToolError, match=r"'sh -c' failed with exit status 3\nnoise\nthe reason$"):
        follow("echo noise; echo the reason >&2; exit 3")


def test_a_followed_tool_that_hangs_is_stopped():
    with pytest.raises(ToolError, match=r"'sh -c' was stopped after 0\.2 s"):
        follow("exec sleep 30", timeout_sec=0.2)
