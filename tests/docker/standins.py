"""Stand-ins for the base images of the Dockerfile, for machines that cannot reach a registry.

Python's is a small Debian with Debian's Python; Beam's and the launcher's each hold one program
from this machine instead of the original. Everything else in a build is real. Stand-ins are made
once and kept in buildah's store.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import BIN

TOOLS = ("buildah", "mmdebstrap")
TORCH = "torch==2.13.0+cpu"
_UV = BIN / "uv"
_NAME = "localhost/flexpack-standin"
_DEBIAN = (
    *("mmdebstrap", "--quiet", "--variant=apt", "--include=python3.11,python3-pip,ca-certificates"),
    '--aptopt=Apt::Install-Recommends "false"',
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")),
    "bookworm",
)
_PYTHON = (
    "ln -s /usr/bin/python3.11 /usr/local/bin/python && rm /usr/lib/python3.11/EXTERNALLY-MANAGED"
)


@dataclass(frozen=True)
class PipSettings:
    """How pip finds packages on this machine, which a build must know."""

    options: Mapping[str, str]
    folders: tuple[Path, ...]

    def write(self, path: Path) -> Path:
        """Write a pip.conf for a build; certificates are where the Dockerfile puts them."""
        lines = [f"{name} = {value}" for name, value in self.options.items()]
        path.write_text("\n".join(["[global]", "cert = /etc/flexpack/ca.pem", *lines]) + "\n")
        return path


def find_problem() -> str | None:
    """Return why an image cannot be built here, or None."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    if not _UV.exists():
        return "uv is not installed"
    if os.geteuid() != 0:
        return "not root"
    if not has_torch():
        return f"pip is configured with no index that has {TORCH}"
    return None


def has_torch() -> bool:
    """Return whether the wheel is available, without fetching it."""
    links = ",".join(str(folder) for folder in read_pip_settings().folders)
    done = subprocess.run(
        [
            *(str(_UV), "pip", "compile", "--quiet", "--no-deps", "-"),
            "--python-version=3.11",
        ],
        input=TORCH,
        env={**os.environ, "UV_FIND_LINKS": links},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0


def read_pip_settings() -> PipSettings:
    """Ask pip how it is configured."""
    shown = run(sys.executable, "-m", "pip", "config", "list")
    options: dict[str, str] = {}
    for line in sorted(shown.splitlines(), reverse=True):  # ":env:" goes over "global".
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in ("index-url", "extra-index-url", "find-links", "trusted-host"):
            # An index of files would refer to folders besides its own.
            kept = [word for word in ast.literal_eval(value).split() if "file:" not in word]
            options[key] = " ".join(kept)
    folders = [Path(place) for place in options.get("find-links", "").split()]
    return PipSettings(options, tuple(folder for folder in folders if folder.is_dir()))


def find_ca_bundle() -> Path:
    """Return the certificates that this machine trusts."""
    return Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))


def make_python_image() -> str:
    """Make the stand-in for Python's image."""
    recipe = hashlib.sha256(" ".join((*_DEBIAN, _PYTHON)).encode()).hexdigest()[:12]
    name = f"{_NAME}-python:{recipe}"
    if not _exists(name):
        container = run("buildah", "from", "scratch")
        try:
            archive = Path(run("mktemp", "--suffix=.tar"))
            run(*_DEBIAN, str(archive))
            run("buildah", "add", "--quiet", container, str(archive), "/")
            archive.unlink()
            run("buildah", "run", "--isolation=chroot", container, "--", "sh", "-c", _PYTHON)
            run("buildah", "commit", "--quiet", container, name)
        finally:
            run("buildah", "rm", container)
    return name


def make_beam_image(folder: Path, version: str) -> str:
    """Make the stand-in for the image of a Beam SDK."""
    info = f"usr/local/lib/python3.11/site-packages/apache_beam-{version}.dist-info"
    write(folder / info / "METADATA", f"Metadata-Version: 2.1\nVersion: {version}\n")
    write(folder / info / "WHEEL", "Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\n")
    copy_program(folder / "opt/apache/beam/boot")
    return _commit(folder, f"{_NAME}-beam:{version}")


def make_launcher_image(folder: Path) -> str:
    """Make the stand-in for the launcher's image."""
    copy_program(folder / "opt/google/dataflow/python_template_launcher")
    return _commit(folder, f"{_NAME}-launcher:1")


def add_folders(image: str, folders: Sequence[Path]) -> str:
    """Make an image that holds folders of this machine too, at the same paths."""
    name = f"{image}-with-folders"
    if not _exists(name):
        container = run("buildah", "from", "--pull-never", image)
        try:
            for folder in folders:
                run("buildah", "copy", "--quiet", container, str(folder), str(folder))
            run("buildah", "commit", "--quiet", container, name)
        finally:
            run("buildah", "rm", container)
    return name


def make_copy(image: str, name: str) -> str:
    """Copy an image's files into one that can be removed separately; return its id."""
    container = run("buildah", "from", "--pull-never", image)
    try:
        run("buildah", "config", f"--label=copy={name}", container)
        return run("buildah", "commit", "--quiet", container, name)
    finally:
        run("buildah", "rm", container)


def give_to_docker(image: str, folder: Path) -> None:
    """Copy an image from buildah's store into Docker's; ``folder`` holds it in between."""
    archive = folder / "image.tar"
    run("buildah", "push", "--quiet", image, f"docker-archive:{archive}:{image}")
    run("docker", "load", "--quiet", f"--input={archive}")
    archive.unlink()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def copy_program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy("/usr/bin/true", path)


def run(*command: str) -> str:
    """Run a command and return its output; show all of it on failure."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def _exists(name: str) -> bool:
    command = ["buildah", "inspect", "--type=image", name]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _commit(folder: Path, name: str) -> str:
    if not _exists(name):
        container = run("buildah", "from", "scratch")
        try:
            run("buildah", "add", "--quiet", container, str(folder), "/")
            run("buildah", "commit", "--quiet", container, name)
        finally:
            run("buildah", "rm", container)
    return name
