"""Lists what the image is made of, inside it, as one JSON line.

``flexpack image test`` feeds it to the image's interpreter. It reads packages and programs, but
runs only ``pip check``. ``launcher/image/checks.py`` judges the results, and
``launcher/image/sbom.py`` writes them as a bill of materials.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
import runpy
import shutil
import struct
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

BOOT = "/opt/apache/beam/boot"
LAUNCHER = "/opt/google/dataflow/python_template_launcher"
DPKG_FIELDS = {
    "name": "${Package}",
    "version": "${Version}",
    "architecture": "${Architecture}",
    "source": "${source:Package}",
}
MACHINES = {62: "amd64", 183: "arm64"}


def describe_file(path: str) -> dict[str, Any]:
    """Report whether a file exists, is executable, and for which machine it is built."""
    found = Path(path)
    if not found.is_file():
        return {"exists": False, "executable": False, "readable_by_all": False, "machine": None}
    machine = None
    with found.open("rb") as file:
        header = file.read(20)
    if header.startswith(b"\x7fELF"):
        number = struct.unpack("<H", header[18:20])[0]
        machine = MACHINES.get(number, f"machine {number}")
    return {
        "exists": True,
        "executable": os.access(found, os.X_OK),
        "readable_by_all": bool(found.stat().st_mode & 0o004),
        "machine": machine,
    }


def describe_program(path: str) -> dict[str, Any]:
    """Return a program's hash and, if it is written in Go, its modules."""
    content = Path(path).read_bytes() if Path(path).is_file() else b""
    return {
        "sha256": hashlib.sha256(content).hexdigest() if content else None,
        **read_go_build(content),
    }


def read_go_build(content: bytes) -> dict[str, Any]:
    """Return the Go version and the modules of a Go program, as its linker recorded them.

    https://pkg.go.dev/debug/buildinfo; since Go 1.18 both texts follow the header.
    """
    start = content.find(b"\xff Go buildinf:")
    if start < 0 or not content[start + 15] & 2:
        return {"go": None, "modules": []}
    texts, place = [], start + 32
    for _ in range(2):
        length = shift = 0
        while True:
            byte = content[place]
            place += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        texts.append(content[place : place + length])
        place += length
    # The list stands between two marks of 16 bytes.
    lines = texts[1][16:-16].decode(errors="replace").splitlines()
    modules = [line.split("\t") for line in lines if line.startswith(("mod\t", "dep\t", "=>\t"))]
    found: list[dict[str, str]] = []
    for kind, name, version, *_ in modules:
        if kind == "=>":
            found.pop()  # replaced by this one
        found.append({"name": name, "version": version})
    return {"go": texts[0].decode().removeprefix("go"), "modules": found}


def read_operating_system() -> dict[str, str] | None:
    """Return the distribution: https://www.freedesktop.org/software/systemd/man/os-release.html."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return None
    return {
        "id": release["ID"],
        "version": release.get("VERSION_ID", ""),
        "name": release["PRETTY_NAME"],
    }


def read_cuda_version() -> str | None:
    """Return torch's CUDA version without importing torch, which takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    version: str | None = runpy.run_path(str(Path(spec.origin).with_name("version.py")))["cuda"]
    return version


def canonical_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def list_packages() -> list[dict[str, str]]:
    packages = {
        canonical_name(distribution.metadata["Name"]): distribution
        for distribution in metadata.distributions()
    }
    return [
        {
            "name": name,
            "version": distribution.version,
            "license": distribution.metadata.get("License-Expression") or "",
        }
        for name, distribution in sorted(packages.items())
    ]


def list_system_packages() -> list[dict[str, str]]:
    if shutil.which("dpkg-query") is None:
        return []
    shown = subprocess.run(
        ["dpkg-query", "--show", "--showformat=" + "\t".join(DPKG_FIELDS.values()) + "\n"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [dict(zip(DPKG_FIELDS, line.split("\t"), strict=True)) for line in shown.splitlines()]


def check_packages() -> str:
    """Return the complaints of ``pip check``."""
    done = subprocess.run(
        [sys.executable, "-B", "-m", "pip", "--disable-pip-version-check", "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def main() -> None:
    facts = {
        "python_version": platform.python_version(),
        "operating_system": read_operating_system(),
        "programs": {path: describe_program(path) for path in (BOOT, LAUNCHER)},
        "is_virtual_environment": sys.prefix != sys.base_prefix,
        "boot": describe_file(BOOT),
        "launcher": describe_file(LAUNCHER),
        "entry_file": describe_file(os.environ.get("FLEX_TEMPLATE_PYTHON_PY_FILE", "")),
        "cuda_version": read_cuda_version(),
        "packages": list_packages(),
        "system_packages": list_system_packages(),
        "pip_check": check_packages(),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
