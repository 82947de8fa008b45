"""Locks that the real uv makes from packages in a folder."""

from __future__ import annotations

import io
import shutil
import tarfile

import pytest

from launcher.errors import ImageError, InputError
from launcher.image.flavours import find_flavour
from launcher.image.locks import check_locks, find_lock_paths, read_lock, read_pin
from launcher.image.resolve import write_locks
from tests.launcher.image.packages import add_wheel, read_layers, require
from tests.support import BIN

pytestmark = pytest.mark.skipif(
    not (BIN / "uv").exists() and shutil.which("uv") is None, reason="uv is not installed"
)


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
    assert "setuptools was downgraded from 81.0 to 80.0" in warning


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
    """This holds although a new flavour starts from the pins of the default one."""
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
