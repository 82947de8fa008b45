"""Built images on the local Dataflow: a container image's own files, variables and interpreter.

An entry of ``images.toml`` may name an OCI image, in buildah's store or as a layout in a folder::

    ["europe-west1-docker.pkg.dev/my-project/flexpack/flexpack:1.0"]
    oci = "localhost/flexpack:1.0"              # or "oci:FOLDER[:TAG]", or NAME@sha256:DIGEST

buildah makes a container from it, of which only the mounted files are used. A layout is first
unpacked into buildah's store, where it stays for the next time. Launcher and workers are
started in them by ``oci_enter.py``, as children of the emulator like all others. They share the
network and the process ids of this machine; the image's ENTRYPOINT, Beam's boot program, is not
run. Needs Linux, buildah, and root.
"""

from __future__ import annotations

import atexit
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from launcher.emulator.runtime import oci_enter

_PREFIX = "flexpack-emulator-"
_TIMEOUT_SEC = 600.0
_BOOT_FOLDER = Path(__file__).parents[1] / "executor"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class OciError(Exception):
    """An OCI image cannot be used here; the message says why and what to do."""


@dataclass(frozen=True)
class MountedImage:
    """An image whose files are mounted.

    Attributes:
        python: a program of this machine that runs the image's interpreter inside the image.
        root: where the image's files are.
        workdir: the image's working directory, as a path inside.
        env: the image's variables.
    """

    python: Path
    root: Path
    workdir: PurePosixPath
    env: Mapping[str, str]


def resolve_layout(reference: str, folder: Path) -> str:
    """Return an image reference; the folder of an OCI layout is taken as relative to ``folder``."""
    kind, colon, place = reference.partition(":")
    return f"oci:{(folder / place).absolute()}" if kind == "oci" and colon else reference


def mount_image(reference: str) -> MountedImage:
    """Make an image's files visible until this process ends.

    Blocks for seconds, or for minutes if a layout must be unpacked or a digest pulled first.

    Raises:
        OciError: there is no such image, or it cannot be used on this machine.
    """
    if shutil.which("buildah") is None:
        raise OciError("needs buildah, which is not installed (apt-get install buildah)")
    if os.geteuid() != 0:
        raise OciError("needs root; start the emulator under 'buildah unshare'")
    _remove_left_over()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    name = f"{_PREFIX}{os.getpid()}-{folder.name.removeprefix(_PREFIX)}"
    _pull(reference)
    _buildah("from", "--pull-never", f"--name={name}", reference)
    atexit.register(_remove, name)
    root = Path(_buildah("mount", name))
    config = json.loads(_buildah("inspect", name))["OCIv1"].get("config", {})
    env = dict(variable.partition("=")[::2] for variable in config.get("Env") or ())
    env.setdefault("PATH", _DEFAULT_PATH)
    workdir = PurePosixPath(config.get("WorkingDir") or "/")
    entry = oci_enter.Entry(
        root=str(root),
        workdir=str(workdir),
        program=_find_python(reference, root, env["PATH"]),
        binds=(str(_BOOT_FOLDER),),
    )
    (folder / "entry.json").write_text(entry.to_json())
    python = folder / "python"
    command = [sys.executable, "-I", "-S", oci_enter.__file__, str(folder / "entry.json")]
    python.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    python.chmod(0o755)
    return MountedImage(python, root, workdir, env)


def _pull(reference: str) -> None:
    """Pull an image that is named by digest, as a push reports it, unless it is here already."""
    if "@sha256:" not in reference:
        return
    try:
        _buildah("inspect", "--type=image", reference)
    except OciError:
        is_local = reference.startswith("localhost:")
        insecure = ["--tls-verify=false"] if is_local else []
        _buildah("pull", "--quiet", *insecure, reference)


def _find_python(reference: str, root: Path, path: str) -> str:
    """Return the ``python`` on the image's PATH, as a path inside."""
    for folder in path.split(":"):
        program = PurePosixPath(folder) / "python"
        # An absolute link points into the image, not into this machine.
        if os.path.lexists(root / program.relative_to("/")):
            return str(program)
    raise OciError(f"{reference} has no 'python' on its PATH, {path}")


def _remove_left_over() -> None:
    """Remove the containers of emulators that were killed."""
    for container in json.loads(_buildah("containers", "--json") or "null") or ():
        name = container["containername"]
        if not name.startswith(_PREFIX):
            continue
        pid = name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            _remove(name)


def _remove(name: str) -> None:
    _buildah("rm", name)


def _buildah(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["buildah", *arguments],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SEC,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OciError(f"'buildah {arguments[0]}' took more than {_TIMEOUT_SEC:g} s") from error
    if done.returncode:
        raise OciError(f"'buildah {' '.join(arguments)}' failed: {done.stderr.strip()}")
    return done.stdout.strip()
