"""Installs Debian packages while the image is built: ``python install_system.py FILE``.

FILE lists one per line; for an empty file it does nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

# Leftovers of apt would differ between two builds.
_LEFTOVERS = ("/var/lib/apt/lists", "/var/cache/apt", "/var/log/apt", "/var/log/dpkg.log")


def read_names(text: str) -> list[str]:
    """Return the packages that the file's text names."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def main(file: Path) -> None:
    names = read_names(file.read_text())
    if not names:
        return
    if shutil.which("apt-get") is None:
        sys.exit(
            f"flexpack image: PYTHON_IMAGE has no apt-get, which {file.name} needs: give a base of "
            f"Debian or Ubuntu, or a base that has {', '.join(names)}, and an empty {file.name}"
        )
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "-qq", "update"],
        ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *names],
    ):
        subprocess.run(command, env=environ, check=True)
    for path in map(Path, _LEFTOVERS):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # apt-get printed the reason.
