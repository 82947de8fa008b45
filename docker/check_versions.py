"""Fails the image's build if the parts of the image do not match.

Runs in the image, before the code is copied. It reads metadata and imports no package, so it writes
no bytecode into a layer. Compares

- the Beam whose boot program was copied with the Beam that the lock installed;
- the Python that this Beam was built for with the interpreter of this image;
- torch as installed with the lock, if the flavour has it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from email.parser import HeaderParser
from importlib import metadata
from pathlib import Path

FOLDER = Path("/opt/flexpack")


def find_problems(lock: str, *, boot_metadata: str, boot_wheel: str) -> Iterator[str]:
    """Yield the problems, each with its remedy.

    Args:
        lock: text of the lock files.
        boot_metadata: ``METADATA`` of the apache-beam in the image that boot comes from.
        boot_wheel: ``WHEEL`` of the same.
    """
    for name in ("apache-beam", "torch"):
        installed = find_version(name)
        locked = read_pin(lock, name)
        if installed != locked:
            yield f"{name} {installed} is installed, but the lock says {locked}: run `make lock`"
    beam = metadata.version("apache-beam")
    boot_beam = HeaderParser().parsestr(boot_metadata)["Version"]
    if boot_beam != beam:
        yield (
            f"BEAM_IMAGE holds the boot program of Beam {boot_beam}, but the lock installs Beam "
            f"{beam}: use the image of Beam {beam}, or change docker/requirements.in"
        )
    here = f"cp{sys.version_info.major}{sys.version_info.minor}"
    tags = HeaderParser().parsestr(boot_wheel).get_all("Tag", [])
    pythons = {tag.partition("-")[0] for tag in tags if tag.startswith("cp")}
    if pythons and here not in pythons:
        yield (
            f"BEAM_IMAGE is made for {', '.join(sorted(pythons))}, but PYTHON_IMAGE has {here}: "
            "give two images of the same Python"
        )


def find_version(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def read_pin(lock: str, name: str) -> str | None:
    """Return the version of a package that a lock pins, or None."""
    match = re.search(rf"^{re.escape(name)}(?:\[[^\]]*\])?==(\S+)", lock, re.MULTILINE)
    return match[1] if match else None


def main() -> int:
    problems = list(
        find_problems(
            "".join(path.read_text() for path in (FOLDER / "locks").glob("*.txt")),
            boot_metadata=(FOLDER / "boot" / "METADATA").read_text(),
            boot_wheel=(FOLDER / "boot" / "WHEEL").read_text(),
        )
    )
    for problem in problems:
        print(f"flexpack image: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
