"""Packages in a folder, or in an index, for uv to resolve."""

from __future__ import annotations

import shutil
import zipfile

import pytest

from launcher.image.flavours import find_flavour
from launcher.image.locks import find_lock_paths, read_pins
from tests.support import BIN

pytestmark = pytest.mark.skipif(
    not (BIN / "uv").exists() and shutil.which("uv") is None, reason="uv is not installed"
)


def add_wheel(folder, name, version, *requires):
    file_name = name.replace("-", "_")
    info = f"{file_name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    with zipfile.ZipFile(folder / f"{file_name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def add_index(folder, *packages):
    """Make a package index, https://peps.python.org/pep-0503/, and return its address."""
    for name, version in packages:
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        add_wheel(place, name, version)
        links = "".join(f'<a href="{path.name}">{path.name}</a>' for path in place.glob("*.whl"))
        (place / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    return folder.as_uri()


def require(root, *requirements):
    (root / "docker" / "requirements.in").write_text("\n".join(requirements) + "\n")


def read_layers(root, name):
    flavour = find_flavour(name)
    return {
        layer: read_pins((root / path).read_text())
        for layer, path in find_lock_paths(flavour).items()
    }
