"""The arguments of a build, and the record of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.errors import ImageError, InputError
from launcher.image.build import build_image
from launcher.image.plan import ImageOptions, plan_build
from launcher.image.probe import parse_facts
from launcher.image.record import BuiltImage, find_last_image, remember_disk_size, remember_image
from tests.support import PROJECT_ROOT

NAME = "localhost/flexpack"
DIGEST = "sha256:" + "a" * 64
IMAGE = BuiltImage(
    reference=f"{NAME}:1.0",
    build_args={"FLAVOUR": "cpu"},
    labels={},
    context="abc",
    engine="buildah",
)
VERSION = "org.opencontainers.image.version"
REVISION = "org.opencontainers.image.revision"


@pytest.fixture
def root(tmp_path):
    shutil.copytree(PROJECT_ROOT / "docker", tmp_path / "docker")
    return tmp_path


def test_the_labels_come_from_the_lock(root):
    plan = plan_build(root, ImageOptions(name=NAME, flavour="cpu", tag="1.0"))
    assert plan.reference == f"{NAME}:1.0"
    assert plan.build_args == {
        "FLAVOUR": "cpu",
        "BEAM_VERSION": "2.77.0",
        "TORCH_VERSION": "2.13.0+cpu",
        "CUDA_VERSION": "none",
    }
    assert plan.labels == {VERSION: "1.0", REVISION: "unknown"}


def test_the_tag_comes_from_git_and_names_a_flavour_that_is_not_the_default(root):
    git = ["git", "-C", str(root), "-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"], ["tag", "1.2"]):
        subprocess.run([*git, *command], check=True)
    for flavour, tag in (("cu130", "1.2"), ("cpu", "1.2-cpu")):
        plan = plan_build(root, ImageOptions(name=NAME, flavour=flavour))
        assert plan.reference == f"{NAME}:{tag}"
        assert len(plan.labels[REVISION]) == 40


def test_the_commit_is_a_label_even_if_a_tag_is_given(root):
    git = ["git", "-C", str(root), "-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    (root / "docker" / "more.py").touch()
    plan = plan_build(root, ImageOptions(name=NAME, tag="1.0"))
    assert re.fullmatch(r"[0-9a-f]{40}-t[0-9a-f]{7}", plan.labels[REVISION])


def test_what_the_user_gives_goes_first(root, tmp_path):
    pip_conf = tmp_path / "pip.conf"
    pip_conf.touch()
    options = ImageOptions(
        name=NAME,
        flavour="cpu",
        tag="1.0",
        build_args={"PYTHON_IMAGE": "localhost/python"},
        pip_conf=pip_conf,
    )
    plan = plan_build(root, options)
    assert plan.build_args["PYTHON_IMAGE"] == "localhost/python"
    assert plan.secrets == {"pip_conf": pip_conf}


def test_a_big_file_is_warned_of_before_anything_is_hashed(root, tmp_path):
    package = tmp_path / "own" / "churn"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    with (package / "model.pth").open("wb") as file:
        file.truncate(60_000_000)

    def report(warning):
        warnings.append(warning)
        (package / "model.pth").write_bytes(b"other weights")  # the hashed files are read later

    warnings, hashes = [], set()
    options = ImageOptions(name=NAME, flavour="cpu", code=(package.parent,))
    for _ in range(2):
        hashes.add(plan_build(root, options, report=report).context.hash)
    assert len(hashes) == len(warnings) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flavour": "cu126"}, "--flavour cu126: docker/locks/cu126 is not complete"),
        ({"name": f"{NAME}:1.0"}, "give only the name, and --tag for the tag"),
        ({"tag": "1.0+local"}, r"--tag '1\.0\+local': not a valid tag; '1\.0-local' is one"),
        ({"pip_conf": Path("nowhere")}, "--pip-conf 'nowhere': no such file"),
        ({"ca_bundle": Path("nowhere")}, "--ca-bundle 'nowhere': no such file"),
    ],
)
def test_mistakes(root, options, message):
    with pytest.raises(InputError, match=message):
        plan_build(root, ImageOptions(**{"name": NAME, "flavour": "cpu", "tag": "1.0"} | options))


def test_elsewhere_flexpacks_own_folder_is_taken(tmp_path):
    plan = plan_build(tmp_path, ImageOptions(name=NAME, flavour="cpu"))
    assert plan.kit == PROJECT_ROOT


def test_an_image_that_is_to_be_pushed_needs_a_registry(root):
    with pytest.raises(InputError, match="--push: no destination"):
        build_image(ImageOptions(tag="1.0", flavour="cpu"), root=root, push=True)


def test_an_engine_that_does_not_exist(root):
    with pytest.raises(InputError, match="--engine 'dockr'"):
        build_image(ImageOptions(tag="1.0"), root=root, engine="dockr")


def test_the_last_image_is_remembered(tmp_path):
    assert find_last_image(tmp_path) is None
    image = replace(IMAGE, digest=DIGEST)
    remember_image(tmp_path, image)
    assert find_last_image(tmp_path) == image
    assert image.pinned == f"{NAME}@{DIGEST}"


def test_what_was_built_is_another_image_as_soon_as_anything_of_it_changes(root):
    options = ImageOptions(name=NAME, flavour="cpu", tag="1.0")
    plan = plan_build(root, options)
    image = replace(
        IMAGE, build_args=plan.build_args, labels=plan.labels, context=plan.context.hash
    )
    assert image.is_of(plan_build(root, options))
    for change in (
        {"flavour": "cu130"},
        {"tag": "1.1"},
        {"build_args": {"PYTHON_IMAGE": "localhost/python"}},
    ):
        assert not image.is_of(plan_build(root, replace(options, **change)))
    (root / "docker" / "install.py").open("a").write("# changed\n")
    assert not image.is_of(plan_build(root, options))


def test_the_disk_of_the_last_image_is_remembered(tmp_path):
    image = IMAGE
    remember_image(tmp_path, image)
    remember_disk_size(tmp_path, f"{NAME}:2.0", 90)
    assert find_last_image(tmp_path) == image
    remember_disk_size(tmp_path, image.reference, 70)
    assert find_last_image(tmp_path) == replace(image, disk_size_gb=70)


def test_each_engine_has_a_last_image_of_its_own(tmp_path):
    docker = replace(IMAGE, engine="docker", reference=f"{NAME}:2.0")
    remember_image(tmp_path, IMAGE)
    remember_image(tmp_path, docker)
    assert find_last_image(tmp_path) == docker
    assert find_last_image(tmp_path, "buildah") == IMAGE
    assert find_last_image(tmp_path, "cloudbuild") is None
    newer = replace(IMAGE, reference=f"{NAME}:3.0")
    remember_image(tmp_path, newer)
    assert find_last_image(tmp_path) == newer == find_last_image(tmp_path, "buildah")


@pytest.mark.parametrize("text", ["", '{"colour": "red"}', '[{"colour": "red"}]'])
def test_a_memory_that_cannot_be_read_is_none(tmp_path, text):
    remember_image(tmp_path, IMAGE)
    (tmp_path / "build" / "image" / "image.json").write_text(text)
    assert find_last_image(tmp_path) is None


def test_an_image_that_is_not_pushed_has_no_digest():
    assert IMAGE.pinned is None


@pytest.mark.parametrize("output", ["", "Killed\n"])
def test_a_probe_without_an_answer(output):
    with pytest.raises(ImageError, match="gave no answer"):
        parse_facts(output)
