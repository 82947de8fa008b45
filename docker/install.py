"""Installs one layer of packages while the image is built: ``python install.py LOCK``.

Installs into the global interpreter, because Beam's boot program ignores virtual environments.
Installs wheels first, then source packages, which it builds with the build tools among the wheels.
pip checks every hash before it installs. Bytecode is kept: it saves seconds at every start of a
worker. Removes tests and headers that nothing needs at run time.
"""

from __future__ import annotations

import platform
import re
import shutil
import site
import subprocess
import sys
import tempfile
from pathlib import Path

# Where docker/wheels is while the last layer is installed.
WHEELS = Path("/opt/flexpack/build/wheels")

_PIN = re.compile(r"^[A-Za-z0-9][^\n]*?==(?:[^\n]*\\\n)*[^\n]*\n?", re.MULTILINE)
_INSTALL = (
    *("python", "-m", "pip", "install", "--root-user-action=ignore", "--disable-pip-version-check"),
    *("--no-deps", "--require-hashes", "--no-build-isolation", "--use-pep517"),
    "--progress-bar=off",
)

# About 87 of 541 MB in the CPU image; in the CUDA image 136 MB of files and their bytecode, or 29
# of 2,900 MB compressed. torch's headers stay, for torch.compile with a compiler.
_NOT_NEEDED = (
    "torch/test",
    "torch/bin/*",
    "apache_beam/**/*_test.py",
    "apache_beam/**/__pycache__/*_test.*.pyc",
    "google/genai/tests",
    "mpmath/tests",
    "networkx/**/tests",
    "numpy/**/tests",
    "pandas/tests",
    "pyarrow/include",
    "pyarrow/tests",
    "sympy/**/tests",
    "triton/**/*.a",
)
_NEEDED = {
    "torch/bin/torch_shm_manager",  # import torch looks for it
    "numpy/_core/tests",  # numpy.testing imports from it
}


def split_lock(lock: str) -> tuple[str, str]:
    """Return the requirements that are wheels, and those that are built from source."""
    sources = set(re.findall(r"^--no-binary=(\S+)$", lock, re.MULTILINE))
    pins: tuple[list[str], list[str]] = ([], [])
    for pin in _PIN.findall(lock):
        pins[re.split(r"[\[=]", pin)[0] in sources].append(pin)
    return "".join(pins[0]), "".join(pins[1])


def install(lock: str) -> None:
    """Install what a lock pins."""
    wheels, sources = split_lock(lock)
    own = [f"--find-links={WHEELS}"] if WHEELS.is_dir() else []
    for kind, requirements in (("--only-binary=:all:", wheels), ("--no-binary=:all:", sources)):
        if requirements:
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
                file.write(requirements)
                file.flush()
                subprocess.run([*_INSTALL, *own, kind, f"--requirement={file.name}"], check=True)


def remove_what_is_not_needed(packages: Path) -> None:
    """Remove tests and headers below a folder of installed packages."""
    for pattern in _NOT_NEEDED:
        for path in list(packages.glob(pattern)):
            if path.relative_to(packages).as_posix() in _NEEDED:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def main(lock: Path) -> None:
    install(lock.read_text())
    for folder in site.getsitepackages():
        remove_what_is_not_needed(Path(folder))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except subprocess.CalledProcessError as error:
        # pip prints the reason, but does not say that a wheel needs a newer glibc than the base's.
        if tuple(map(int, re.findall(r"\d+", platform.libc_ver()[1]))) < (2, 34):
            print("flexpack image: projects are locked for glibc 2.34 and newer", file=sys.stderr)
        sys.exit(error.returncode)
