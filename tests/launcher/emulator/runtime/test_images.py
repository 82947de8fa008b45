from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

import pytest

from launcher.emulator.runtime.images import (
    BadImagesFileError,
    Image,
    UnknownImage,
    describe_stock_image,
    load_images,
)
from launcher.emulator.runtime.projects import BadProjectError, Projects

REFERENCE = "europe-west1-docker.pkg.dev/my-project/repo/sample:1"


def write(folder: Path, text: str) -> Path:
    path = folder / "images.toml"
    path.write_text(text)
    return path


def test_local_images_are_the_kit_itself(tmp_path: Path) -> None:
    image = load_images(None, workdir=tmp_path).find("local/flexpack@sha256:0123")
    assert image.python == Path(sys.executable)
    assert image.workdir == tmp_path
    entry_file = Path(image.env["FLEX_TEMPLATE_PYTHON_PY_FILE"])
    assert entry_file.parts[-2:] == ("template", "main.py")
    assert entry_file.is_absolute()


def test_a_registered_project_is_found_by_its_name(tmp_path: Path) -> None:
    file, folder = tmp_path / "projects.json", tmp_path / "churn"
    folder.mkdir()
    Projects(file).register("churn", str(folder), sys.executable)
    registry = load_images(None, workdir=tmp_path, projects=Projects(file))
    for reference in ("local/churn", "local/churn:1.0", "local/churn@sha256:01", "local/churn:1@a"):
        image = registry.find(reference)
        assert (image.python, image.workdir) == (Path(sys.executable), folder)
        assert image.env == registry.local.env  # of the same installation
    with pytest.raises(
        UnknownImage, match=r"did you mean 'local/churn'\?.* register chrun"
    ) as caught:
        registry.find("local/chrun")
    assert f"local/flexpack (the environment of the local Dataflow), local/churn ({folder})" in str(
        caught.value
    )
    folder.rmdir()
    with pytest.raises(UnknownImage, match=f"registered with {folder}, which no longer exists"):
        registry.find("local/churn")


@pytest.mark.parametrize(
    ("name", "folder", "python", "problem"),
    [
        ("Churn", "/", sys.executable, "name 'Churn': an image's name has lower-case"),
        ("../x", "/", sys.executable, "name '../x': an image's name"),
        ("flexpack", "/", sys.executable, "local/flexpack is the kit's own environment"),
        ("churn", "/no/such", sys.executable, "folder '/no/such': not the absolute path"),
        ("churn", ".", sys.executable, "folder '.': not the absolute path"),
        ("churn", "/", "/no/python", "python '/no/python': not the absolute path of a program"),
        ("churn", "/", "/bin/true", "python '/bin/true': flexpack is not installed there"),
        ("churn", "/", "/bin/false", "python '/bin/false': flexpack is not installed there"),
    ],
)
def test_a_project_that_cannot_run_is_refused(name, folder, python, problem) -> None:
    projects = Projects()
    with pytest.raises(BadProjectError) as caught:
        projects.register(name, folder, python)
    assert problem in str(caught.value)
    assert projects.list() == []


def test_a_file_of_projects_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "projects.json").write_text('[{"name": "x"}]')
    with pytest.raises(BadProjectError, match=r"projects\.json cannot be read .*; delete it"):
        Projects(tmp_path / "projects.json")


def test_an_entry_is_read_relative_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "sample").mkdir()
    path = write(
        tmp_path,
        f'["{REFERENCE}"]\npython = "{sys.executable}"\nworkdir = "sample"\n'
        'env = { FLEX_TEMPLATE_PYTHON_PY_FILE = "getting_started.py" }\n',
    )
    assert load_images(path, workdir=Path("/nowhere")).find(REFERENCE) == Image(
        Path(sys.executable),
        tmp_path / "sample",
        {"FLEX_TEMPLATE_PYTHON_PY_FILE": "getting_started.py"},
    )


def test_an_empty_entry_takes_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, f'["{REFERENCE}"]\n')
    image = load_images(path, workdir=tmp_path).find(REFERENCE)
    assert image == Image(Path(sys.executable), tmp_path, {})


def test_an_unknown_image_says_what_to_write(tmp_path: Path) -> None:
    registry = load_images(write(tmp_path, f'["{REFERENCE}"]\n'), workdir=tmp_path)
    with pytest.raises(UnknownImage) as caught:
        registry.find(REFERENCE.replace(":1", ":2"))
    message = str(caught.value)
    assert f"did you mean '{REFERENCE}'?" in message
    # The message suggests a file that loads as soon as its paths are real.
    advice = message[message.index('["') :]
    advice = advice.replace("/path/to/python", sys.executable)
    advice = advice.replace("/path/to/template", str(tmp_path))
    advised = load_images(write(tmp_path, advice), workdir=tmp_path)
    image = advised.find(REFERENCE.replace(":1", ":2"))
    assert image.env == {"FLEX_TEMPLATE_PYTHON_PY_FILE": "main.py"}


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ('["a/b"]\npyhton = "/usr/bin/python3"', "unknown key 'pyhton'; did you mean 'python'?"),
        ('["a/b"]\ncolour = "red"', "unknown key 'colour'; known are python, workdir, env, oci."),
        ('["a/b"]\npython = "/no/such/python"', "python '/no/such/python' is not an executable"),
        ('["a/b"]\nworkdir = "nowhere"', "is not a directory"),
        ('["a/b"]\nworkdir = 1', "workdir must be a path, not 1"),
        ('["a/b"]\nenv = { N = 1 }', "env must be a table of strings, not {'N': 1}"),
        ('"a/b" = "python"', "an image is a table of python, workdir, env"),
        ("[a/b", "not a TOML file"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, entry: str, problem: str) -> None:
    path = write(tmp_path, entry)
    with pytest.raises(BadImagesFileError, match=r"images\.toml") as caught:
        load_images(path, workdir=tmp_path)
    assert problem in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImagesFileError, match="cannot be read: No such file"):
        load_images(tmp_path / "images.toml", workdir=tmp_path)


def test_beams_own_images_are_known_with_a_warning() -> None:
    here = f"{sys.version_info[0]}.{sys.version_info[1]}", metadata.version("apache-beam")
    reference = "gcr.io/cloud-dataflow/v1beta3/beam_python{}_sdk:{}".format(*here)
    warning = describe_stock_image(reference)
    assert warning is not None
    assert f"run Beam's own image, {reference}, which does not contain the template" in warning
    assert "set sdk_container_image (sdkContainerImage in the environment) to it" in warning
    assert "other versions" not in warning
    for other in ("apache", "docker.io/apache"):
        warning = describe_stock_image(f"{other}/beam_python3.12_sdk:2.70.0")
        assert warning is not None
        versions = "This environment has other versions: Python {} and Beam {}.".format(*here)
        assert warning.endswith(versions)
    assert describe_stock_image(REFERENCE) is None


def test_a_process_gets_a_clean_environment(tmp_path: Path) -> None:
    own = {
        "HOME": "/home/me",
        "PATH": "/bin",
        "PYTHONPATH": "/elsewhere",
        "SECRET_OF_THE_USER": "1",
        "GOOGLE_APPLICATION_CREDENTIALS": "/home/me/key.json",
    }
    image = Image(Path("/env/bin/python"), tmp_path, {"MODE": "a", "PYTHONPATH": "/lib"})
    assert image.process_env({"STORAGE_EMULATOR_HOST": "http://localhost:1"}, own=own) == {
        "HOME": "/home/me",
        "PATH": f"/env/bin{os.pathsep}/bin",
        "MODE": "a",
        "STORAGE_EMULATOR_HOST": "http://localhost:1",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}/lib",
    }
