"""Fails the image's build at once if its base, ``PYTHON_IMAGE``, cannot hold the image.

Runs with the base's interpreter, before anything is installed.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PYTHON = (3, 11)
# The locks hold wheels for it: manylinux_2_28.
GLIBC = (2, 28)


@dataclass(frozen=True, kw_only=True)
class Base:
    """The facts about a base; ``libc`` is its C library's name and version."""

    python: tuple[int, int]
    is_virtual_environment: bool
    has_pip: bool
    stdlib: Path
    libc: tuple[str, str]
    machine: str


def read_base() -> Base:
    """Return the facts about this interpreter."""
    return Base(
        python=sys.version_info[:2],
        is_virtual_environment=sys.prefix != sys.base_prefix,
        has_pip=importlib.util.find_spec("pip") is not None,
        stdlib=Path(sysconfig.get_path("stdlib")),
        libc=platform.libc_ver(),
        machine=platform.machine(),
    )


def find_problems(base: Base) -> Iterator[str]:
    """Yield the problems of the base, each with its remedy."""
    if base.python != PYTHON:
        yield (
            f"its 'python' is {base.python[0]}.{base.python[1]}, but the locks are for "
            f"{PYTHON[0]}.{PYTHON[1]}: use a base with that Python"
        )
    if base.is_virtual_environment:
        yield (
            "its 'python' is that of a virtual environment, which Beam's boot program would not "
            "use: put the global interpreter first on PATH"
        )
    if not base.has_pip:
        yield "its 'python' has no pip, which installs the packages: add it to the base"
    if (marker := base.stdlib / "EXTERNALLY-MANAGED").exists():
        yield (
            f"its Python belongs to the distribution, so pip may not install into it: remove "
            f"{marker} in the base, or use a base with its own Python"
        )
    name, number = base.libc
    if name != "glibc" or tuple(int(part) for part in number.split(".")[:2]) < GLIBC:
        yield (
            f"its C library is {name or 'not glibc'} {number}".rstrip()
            + f", but the wheels need glibc {GLIBC[0]}.{GLIBC[1]} or newer: give a base of Debian "
            "10, Ubuntu 20.04, RHEL 8 or newer, not Alpine"
        )
    if base.machine != "x86_64":
        yield f"it is for {base.machine}, but Dataflow's workers are linux/amd64"


def main() -> int:
    problems = list(find_problems(read_base()))
    for problem in problems:
        print(f"flexpack image: PYTHON_IMAGE: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
