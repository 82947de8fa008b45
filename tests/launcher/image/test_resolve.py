"""Locks, made by the real uv from packages that lie in a folder."""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import os
import shutil
import tarfile
import zipfile

import pytest

from launcher.errors import ImageError, InputError
from launcher.image.flavours import find_flavour
from launcher.image.locks import check_locks, find_lock_paths, read_lock, read_pin, read_pins
from launcher.image.project_locks import merge_locks, refuse_project_locks
from launcher.image.projects import read_projects
from launcher.image.resolve import write_locks
from launcher.image.resolve_project import write_project_lock
from launcher.image.uv import read_pip_conf
from tests.servers import QuietHandler, serve_handler
from tests.support import BIN

pytestmark = pytest.mark.skipif(
    not (BIN / "uv").exists() and shutil.which("uv") is None, reason="uv is not installed"
)


@pytest.fixture
def wheels(tmp_path):
    """A folder of empty packages, which are all that uv sees."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, version in (
        ("setuptools", "80.0"),
        ("setuptools", "81.0"),
        ("torch", "2.12.0"),
        ("torch", "2.13.0"),
    ):
        add_wheel(folder, name, version)
    return folder


def add_wheel(folder, name, version, *requires):
    file_name = name.replace("-", "_")
    info = f"{file_name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    with zipfile.ZipFile(folder / f"{file_name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def environ(wheels, tmp_path):
    config = tmp_path / "uv.toml"
    config.write_text("[pip]\nno-index = true\n")
    own = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    own.pop("PIP_FIND_LINKS", None)
    return {**own, "UV_CONFIG_FILE": str(config), "UV_FIND_LINKS": str(wheels)}


@pytest.fixture
def root(tmp_path):
    docker = tmp_path / "docker"
    (docker / "locks").mkdir(parents=True)
    (docker / "requirements.in").write_text("torch==2.13.0\nsetuptools\n")
    return tmp_path


def test_a_lock_pins_and_hashes_everything(root, environ):
    (result,) = write_locks(root, [find_flavour("cu130")], environ=environ)
    lock = read_lock(root, result.flavour)
    assert result.changed
    assert read_pin(lock, "torch") == "2.13.0"
    assert read_pin(lock, "setuptools") == "81.0"
    assert lock.count("--hash=sha256:") == 2
    assert str(root) not in lock


def test_a_lock_stays_as_it_is(root, wheels, environ):
    flavour = find_flavour("cu130")
    write_locks(root, [flavour], environ=environ)
    add_wheel(wheels, "setuptools", "82.0")
    (result,) = write_locks(root, [flavour], environ=environ)
    assert not result.changed
    for path in find_lock_paths(flavour).values():
        (root / path).unlink()
    write_locks(root, [flavour], environ=environ)
    assert read_pin(read_lock(root, flavour), "setuptools") == "82.0"


def test_a_flavour_takes_its_own_build_of_torch(root, wheels, environ):
    add_wheel(wheels, "torch", "2.13.0+cpu")
    cpu, cu126 = write_locks(root, [find_flavour("cpu"), find_flavour("cu126")], environ=environ)
    assert read_pin(read_lock(root, cpu.flavour), "torch") == "2.13.0+cpu"
    assert "torch 2.13.0+cu126 is not on PyPI" in cu126.problem
    assert "UV_INDEX" in cu126.problem
    with pytest.raises(InputError, match=r"--flavour cu126: docker/locks/cu126 is not complete"):
        read_lock(root, cu126.flavour)


def test_a_flavour_without_torch(root, wheels, environ):
    add_wheel(wheels, "torchvision", "0.28.0", "torch")
    (root / "docker" / "requirements.in").write_text("torch==2.13.0\ntorchvision\nsetuptools\n")
    flavour = find_flavour("no-torch")
    (result,) = write_locks(root, [flavour], environ=environ)
    assert result.after == {"setuptools": "81.0"}
    check_locks(root, flavour)
    add_wheel(wheels, "trainer", "1.0", "torch")
    (root / "docker" / "requirements.in").write_text("torch==2.13.0\ntrainer\n")
    with pytest.raises(
        ImageError, match=r"no-torch: something in .*requirements\.in needs torch 2"
    ):
        write_locks(root, [flavour], environ=environ)


def test_a_project_may_bring_a_torch_into_an_image_without(root, wheels, environ, project):
    flavour = find_flavour("no-torch")
    write_locks(root, [flavour], environ=environ)
    add_wheel(wheels, "vllm", "0.20", "torch==2.12.0", "nvidia-nccl-cu12")
    add_wheel(wheels, "nvidia-nccl-cu12", "2.30")
    project.requirements.write_text("vllm\n")
    result = write_project_lock(root, project, flavour, environ=environ)
    assert result.changes == ["+ nvidia-nccl-cu12 2.30", "+ torch 2.12.0", "+ vllm 0.20"]
    refuse_project_locks(root, [project], flavour)
    text, named = merge_locks([project], {})
    assert named == ("vllm",)
    assert read_pins(text) == result.after


def test_pips_folder_of_wheels_is_looked_into_for_special_builds(root, wheels, environ, tmp_path):
    pips = tmp_path / "pips"
    pips.mkdir()
    add_wheel(pips, "torch", "2.13.0+cpu")
    environ["PIP_FIND_LINKS"] = str(pips)
    results = write_locks(root, [find_flavour("cu130"), find_flavour("cpu")], environ=environ)
    pins = [read_pin(read_lock(root, result.flavour), "torch") for result in results]
    assert pins == ["2.13.0", "2.13.0+cpu"]


def add_index(folder, *packages):
    """Make a package index, https://peps.python.org/pep-0503/, and return its address."""
    for name, version in packages:
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        add_wheel(place, name, version)
        links = "".join(f'<a href="{path.name}">{path.name}</a>' for path in place.glob("*.whl"))
        (place / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    return folder.as_uri()


def test_the_index_of_a_special_build_does_not_hide_the_other(root, environ, tmp_path):
    default = add_index(tmp_path / "default", ("setuptools", "80.0"), ("setuptools", "81.0"))
    add_index(tmp_path / "default", ("torch", "2.13.0"))
    special = add_index(tmp_path / "special", ("setuptools", "60.0"), ("torch", "2.13.0+cu126"))
    (tmp_path / "uv.toml").write_text("")
    del environ["UV_FIND_LINKS"]
    environ |= {"UV_DEFAULT_INDEX": default, "UV_INDEX": special}
    (result,) = write_locks(root, [find_flavour("cu126")], environ=environ)
    lock = read_lock(root, result.flavour)
    assert result.problem is None
    assert read_pin(lock, "torch") == "2.13.0+cu126"
    assert read_pin(lock, "setuptools") == "81.0"
    assert "://" not in lock


def test_a_lock_uses_the_indexes_of_a_build(root, environ, tmp_path):
    """Those of a pip.conf, with pip's meaning: the best of all indexes."""
    default = add_index(tmp_path / "default", ("setuptools", "81.0"), ("torch", "2.13.0"))
    special = add_index(tmp_path / "special", ("setuptools", "60.0"), ("torch", "2.13.0+cu126"))
    pip_conf = tmp_path / "pip.conf"
    pip_conf.write_text(
        f"[global]\nindex-url = {default}\nextra-index-url =\n    {special}\n"
        "trusted-host = a.example b.example\ntimeout = 60\n"
    )
    (tmp_path / "uv.toml").write_text("")
    del environ["UV_FIND_LINKS"]
    variables = read_pip_conf(pip_conf)
    assert variables["UV_INSECURE_HOST"] == "a.example b.example"
    write_locks(root, [find_flavour("cu126")], environ=environ | variables)
    lock = read_lock(root, find_flavour("cu126"))
    assert read_pin(lock, "torch") == "2.13.0+cu126"
    assert read_pin(lock, "setuptools") == "81.0"


def test_a_pip_conf_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"--pip-conf .*nowhere': cannot be read"):
        read_pip_conf(tmp_path / "nowhere")


def test_a_new_flavour_has_the_pins_of_the_default_one(root, wheels, environ):
    write_locks(root, [find_flavour("cu130")], environ=environ)
    add_wheel(wheels, "setuptools", "82.0")
    add_wheel(wheels, "torch", "2.13.0+cu126")
    (result,) = write_locks(root, [find_flavour("cu126")], environ=environ)
    assert read_pin(read_lock(root, result.flavour), "setuptools") == "81.0"


def test_the_default_flavour_is_never_another_build(root, wheels, environ):
    add_wheel(wheels, "torch", "2.13.0+cpu")
    with pytest.raises(ImageError, match=r"resolved to torch 2\.13\.0\+cpu instead of 2\.13\.0"):
        write_locks(root, [find_flavour("cu130")], environ=environ)


def test_not_in_the_project(tmp_path, environ):
    with pytest.raises(InputError, match="run this in the project's root"):
        write_locks(tmp_path, [find_flavour("cu130")], environ=environ)


def test_what_cannot_be_resolved_is_shown(root, environ):
    (root / "docker" / "requirements.in").write_text("torch==2.13.0\nno-such-package\n")
    with pytest.raises(ImageError, match="no-such-package"):
        write_locks(root, [find_flavour("cu130")], environ=environ)


def require(root, *requirements):
    (root / "docker" / "requirements.in").write_text("\n".join(requirements) + "\n")


def read_layers(root, name):
    flavour = find_flavour(name)
    return {
        layer: read_pins((root / path).read_text())
        for layer, path in find_lock_paths(flavour).items()
    }


def test_a_package_of_the_users_is_in_the_last_layer_and_changes_no_other(root, wheels, environ):
    add_wheel(wheels, "nvidia-cublas", "13.0")
    add_wheel(wheels, "torch", "2.13.0", "nvidia-cublas")
    add_wheel(wheels, "pandas", "2.3.0", "six")
    add_wheel(wheels, "six", "1.17")
    add_wheel(wheels, "joblib", "1.5")
    add_wheel(wheels, "scikit-learn", "1.7.2", "joblib", "six")
    flavour = find_flavour("cu130")
    require(root, "torch==2.13.0", "pandas")
    write_locks(root, [flavour], environ=environ)
    paths = [root / path for path in find_lock_paths(flavour).values()]
    before = [path.read_text() for path in paths]
    require(root, "torch==2.13.0", "pandas", "scikit-learn")
    (result,) = write_locks(root, [flavour], environ=environ)
    assert read_layers(root, "cu130") == {
        "torch": {"torch": "2.13.0", "nvidia-cublas": "13.0"},
        "beam": {"pandas": "2.3.0", "six": "1.17"},
        "project": {"joblib": "1.5", "scikit-learn": "1.7.2"},
    }
    assert [path.read_text() for path in paths[:2]] == before[:2]
    assert paths[2].read_text() != before[2]
    assert result.changes == ["+ joblib 1.5", "+ scikit-learn 1.7.2"]
    assert result.warnings == ()


def test_what_changes_is_listed_and_a_downgrade_is_warned_of(root, wheels, environ):
    flavour = find_flavour("cu130")
    add_wheel(wheels, "six", "1.16")
    require(root, "torch==2.13.0", "setuptools", "six")
    write_locks(root, [flavour], environ=environ)
    add_wheel(wheels, "vllm", "0.2.2", "setuptools<81")
    require(root, "torch==2.13.0", "setuptools", "vllm")
    (result,) = write_locks(root, [flavour], environ=environ)
    assert result.changes == ["  setuptools 81.0 -> 80.0", "- six 1.16", "+ vllm 0.2.2"]
    (warning,) = result.warnings
    assert "setuptools went back from 81.0 to 80.0" in warning


def add_dated_index(folder, *packages):
    """Make an index with dates, https://peps.python.org/pep-0700/; serve it, return its address."""
    files = {}
    for name, version, day in packages:
        add_wheel(folder, name, version)
        wheel = f"{name}-{version}-py3-none-any.whl"
        digest = hashlib.sha256((folder / wheel).read_bytes()).hexdigest()
        files.setdefault(name, []).append(
            {
                "filename": wheel,
                "url": f"/{wheel}",
                "hashes": {"sha256": digest},
                "upload-time": f"{day}T00:00:00Z",
            }
        )

    class Index(QuietHandler):
        def do_GET(self):
            place = self.path.strip("/")
            if place.endswith(".whl"):
                body, kind = (folder / place).read_bytes(), "application/octet-stream"
            else:
                page = {"meta": {"api-version": "1.1"}, "name": place, "files": files.get(place)}
                body = json.dumps(page).encode()
                kind = "application/vnd.pypi.simple.v1+json"
            self.answer(200 if place.endswith(".whl") or place in files else 404, body, kind)

        do_HEAD = do_GET

    return serve_handler(Index)


def test_a_version_that_is_years_old_is_warned_of(root, environ, tmp_path):
    today = datetime.datetime.now(datetime.UTC).date()
    folder = tmp_path / "dated"
    folder.mkdir()
    server = add_dated_index(
        folder,
        ("torch", "2.13.0", "2020-01-01"),
        ("vllm", "0.2.2", "2020-01-01"),
        ("vllm", "0.33.0", today - datetime.timedelta(days=9)),
        ("recent", "1.0", today - datetime.timedelta(days=99)),
        ("recent", "2.0", today - datetime.timedelta(days=9)),
        ("finished", "1.0", "2020-01-01"),
    )
    (tmp_path / "uv.toml").write_text("")
    del environ["UV_FIND_LINKS"]
    with server as port:
        environ["UV_DEFAULT_INDEX"] = f"http://localhost:{port}"
        require(root, "torch==2.13.0")
        write_locks(root, [find_flavour("cu130")], environ=environ)
        require(root, "torch==2.13.0", "vllm<0.3", "recent<2", "finished")
        (result,) = write_locks(root, [find_flavour("cu130")], environ=environ)
    assert result.changes == ["+ finished 1.0", "+ recent 1.0", "+ vllm 0.2.2"]
    (warning,) = result.warnings
    assert "vllm 0.2.2 is more than 2 years old, and the newest is 0.33.0" in warning


def test_what_is_built_with_torch_has_the_flavours_build(root, wheels, environ):
    add_wheel(wheels, "torch", "2.13.0+cpu")
    add_wheel(wheels, "torchvision", "0.28.0", "torch==2.13.0")
    require(root, "torch==2.13.0", "torchvision")
    cpu = find_flavour("cpu")
    with pytest.raises(
        ImageError, match=r"torchvision 0\.28\.0, which is not built for torch .*cpu"
    ):
        write_locks(root, [cpu], environ=environ)
    assert not (root / cpu.lock_folder).exists()
    add_wheel(wheels, "torchvision", "0.28.0+cpu", "torch==2.13.0")
    write_locks(root, [cpu], environ=environ)
    assert read_layers(root, "cpu")["project"] == {"torchvision": "0.28.0+cpu"}


def test_the_flavours_build_replaces_the_default_ones(root, wheels, environ):
    """Although a new flavour starts from the pins of the default one."""
    add_wheel(wheels, "torchvision", "0.28.0", "torch==2.13.0")
    require(root, "torch==2.13.0", "torchvision")
    write_locks(root, [find_flavour("cu130")], environ=environ)
    add_wheel(wheels, "torch", "2.13.0+cpu")
    add_wheel(wheels, "torchvision", "0.28.0+cpu", "torch==2.13.0")
    write_locks(root, [find_flavour("cpu")], environ=environ)
    assert read_layers(root, "cpu")["project"] == {"torchvision": "0.28.0+cpu"}


def test_packages_of_ones_own_are_in_a_folder_of_the_project(root, environ):
    own = root / "docker" / "wheels"
    own.mkdir()
    add_wheel(own, "house-rules", "1.0")
    require(root, "torch==2.13.0", "house-rules")
    write_locks(root, [find_flavour("cu130")], environ=environ)
    assert read_layers(root, "cu130")["project"] == {"house-rules": "1.0"}
    assert str(root) not in read_lock(root, find_flavour("cu130"))


def test_a_source_package_is_named(root, environ):
    own = root / "docker" / "wheels"
    own.mkdir()
    metadata = b"Metadata-Version: 2.2\nName: old-way\nVersion: 1.0\n"
    with tarfile.open(own / "old_way-1.0.tar.gz", "w:gz") as sdist:
        for name, text in (("PKG-INFO", metadata), ("setup.py", b"")):
            member = tarfile.TarInfo(f"old_way-1.0/{name}")
            member.size = len(text)
            sdist.addfile(member, io.BytesIO(text))
    require(root, "torch==2.13.0", "old-way")
    with pytest.raises(ImageError, match="old-way"):
        write_locks(root, [find_flavour("cu130")], environ=environ)
    require(root, "torch==2.13.0", "old-way", "--no-binary=old-way")
    write_locks(root, [find_flavour("cu130")], environ=environ)
    lock = (root / "docker" / "locks" / "cu130" / "project.txt").read_text()
    assert "\n--only-binary=:all:\n--no-binary=old-way\nold-way==1.0 " in lock
    assert "--no-binary" not in (root / "docker" / "locks" / "cu130" / "torch.txt").read_text()


@pytest.fixture
def project(root, environ, tmp_path):
    """A project of the user's own, beside an image with torch and setuptools 81."""
    write_locks(root, [find_flavour("cu130")], environ=environ)
    folder = tmp_path / "own"
    (folder / "churn").mkdir(parents=True)
    (folder / "churn" / "__init__.py").touch()
    (project,) = read_projects([folder])
    return project


def test_the_lock_of_a_project_is_made_beside_the_images_own(root, wheels, environ, project):
    add_wheel(wheels, "setuptools", "82.0")
    add_wheel(wheels, "joblib", "1.5")
    add_wheel(wheels, "scikit-learn", "1.7.2", "joblib", "setuptools", "torch")
    project.requirements.write_text("scikit-learn  # trees\nsetuptools\n")
    flavour = find_flavour("cu130")
    result = write_project_lock(root, project, flavour, environ=environ)
    assert result.changes == ["+ joblib 1.5", "+ scikit-learn 1.7.2"]
    refuse_project_locks(root, [project], flavour)
    add_wheel(wheels, "joblib", "1.6")
    again = write_project_lock(root, project, flavour, environ=environ)
    assert (again.changed, again.changes) == (False, [])
    assert "://" not in project.lock.read_text()
    project.requirements.write_text("scikit-learn\nsetuptools\njoblib>=1.6\n")
    with pytest.raises(InputError, match=r"joblib>=1\.6 is locked to 1\.5"):
        refuse_project_locks(root, [project], flavour)
    result = write_project_lock(root, project, flavour, environ=environ)
    assert result.changes == ["  joblib 1.5 -> 1.6"]


def test_a_project_that_contradicts_the_image_is_not_locked(root, wheels, environ, project):
    flavour = find_flavour("cu130")
    project.requirements.write_text("setuptools<81\n")
    with pytest.raises(InputError, match=r"asks for setuptools<81, and .*beam\.txt pins 81\.0"):
        write_project_lock(root, project, flavour, environ=environ)
    add_wheel(wheels, "old-way", "1.0", "setuptools<81")
    project.requirements.write_text("old-way\n")
    with pytest.raises(ImageError, match=r"(?s)cannot be had beside .*setuptools<81.*81\.0"):
        write_project_lock(root, project, flavour, environ=environ)
    assert not project.lock.exists()


def test_a_project_has_wheels_of_its_own(root, environ, project):
    project.wheels.mkdir()
    add_wheel(project.wheels, "house-rules", "1.0")
    project.requirements.write_text("house-rules\n")
    result = write_project_lock(root, project, find_flavour("cu130"), environ=environ)
    assert result.changes == ["+ house-rules 1.0"]


def test_a_project_without_requirements_says_where_they_go(root, environ, project):
    with pytest.raises(InputError, match=r"requirements\.in: no such file; name in it"):
        write_project_lock(root, project, find_flavour("cu130"), environ=environ)
