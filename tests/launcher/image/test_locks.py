"""Locks, made by the real uv from packages that lie in a folder."""

from __future__ import annotations

import os
import shutil
import zipfile

import pytest

from launcher.errors import ImageError, InputError
from launcher.image.flavours import find_flavour
from launcher.image.locks import BUILD_LOCK, extract_pin, read_lock, read_pin, write_locks
from tests.support import BIN

pytestmark = pytest.mark.skipif(
    not (BIN / "uv").exists() and shutil.which("uv") is None, reason="uv is not installed"
)


@pytest.fixture
def wheels(tmp_path):
    """A folder of empty packages, which is all that uv is told of."""
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


def add_wheel(folder, name, version):
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
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
    assert (root / BUILD_LOCK).read_text() == extract_pin(lock, "setuptools")


def test_a_lock_stays_as_it_is(root, wheels, environ):
    flavour = find_flavour("cu130")
    write_locks(root, [flavour], environ=environ)
    add_wheel(wheels, "setuptools", "82.0")
    (result,) = write_locks(root, [flavour], environ=environ)
    assert not result.changed
    (root / flavour.lock).unlink()
    write_locks(root, [flavour], environ=environ)
    assert read_pin(read_lock(root, flavour), "setuptools") == "82.0"


def test_a_flavour_takes_its_own_build_of_torch(root, wheels, environ):
    add_wheel(wheels, "torch", "2.13.0+cpu")
    cpu, cu126 = write_locks(root, [find_flavour("cpu"), find_flavour("cu126")], environ=environ)
    assert read_pin(read_lock(root, cpu.flavour), "torch") == "2.13.0+cpu"
    assert "torch 2.13.0+cu126 is not on PyPI" in cu126.problem
    assert "UV_INDEX" in cu126.problem
    with pytest.raises(InputError, match=r"--flavour cu126: .*cu126\.txt does not exist"):
        read_lock(root, cu126.flavour)


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
