"""Vendored files: which they are, unchanged, with their licences."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support import PROJECT_ROOT

FOLDERS = (PROJECT_ROOT / "launcher/console/static/vendor", Path(__file__).with_name("data"))
PACKAGES = [
    pytest.param(folder, package, id=f"{package['name']}-{package['version']}")
    for folder in FOLDERS
    for package in json.loads((folder / "vendor.json").read_text())["packages"]
]


@pytest.mark.parametrize(("folder", "package"), PACKAGES)
def test_files_are_as_they_were_published(folder, package):
    for name, expected in package["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, name
    assert any(name.endswith(".LICENSE") for name in package["sha256"])
    assert package["license"] in ("0BSD", "MIT", "MPL-2.0")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_file_is_listed(folder):
    packages = json.loads((folder / "vendor.json").read_text())["packages"]
    listed = {name for package in packages for name in package["sha256"]}
    assert {path.name for path in folder.iterdir()} == listed | {"vendor.json"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
@pytest.mark.parametrize(("folder", "package"), PACKAGES)
def test_the_registry_has_the_same(folder, package, tmp_path):
    name = f"{package['name']}@{package['version']}"
    done = subprocess.run(
        ["npm", "pack", "--silent", name], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        pytest.skip(f"npm does not reach a registry: {done.stderr[-200:]}")
    content = next(tmp_path.glob("*.tgz")).read_bytes()
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    assert package["integrity"] == f"sha512-{digest}"
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for inside, ours in package["files"].items():
            assert archive.extractfile(f"package/{inside}").read() == (folder / ours).read_bytes()
