"""Checks of requirement and lock files: what is pinned, and whether the pins go together.

Known-bad versions are data, ``advisories.json``, with the day they were checked and their sources.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from launcher.errors import InputError
from launcher.finding import (
    LOCK_ADVISORY,
    LOCK_CONFLICT,
    LOCK_UNPINNED,
    Finding,
    Severity,
    error,
    warning,
)
from launcher.google.rest import from_rest

# Which CUDA a plain torch wheel is built for shows in what is installed beside it.
_CUDA_RUNTIME = re.compile(r"nvidia-cuda-runtime(-cu\d+)?")


@dataclass(frozen=True)
class Lock:
    """The requirements of a file: pinned versions by canonical name, and what is not pinned."""

    path: Path
    pins: Mapping[str, str]
    unpinned: tuple[str, ...]

    @property
    def torch_build(self) -> str | None:
        """The flavour of torch, for example ``cu130`` or ``cpu``, if it is known."""
        local = self.pins.get("torch", "").partition("+")[2]
        if local:
            return local
        for name, version in self.pins.items():
            if _CUDA_RUNTIME.fullmatch(name):
                major, minor, *_ = version.split(".")
                return f"cu{major}{minor}"
        return None


@dataclass(frozen=True, kw_only=True)
class Package:
    """Versions of a package, as in PEP 440."""

    package: str
    versions: str


@dataclass(frozen=True, kw_only=True)
class Advisory:
    """Versions that are known to be bad, alone or ``beside`` those of another package."""

    package: str
    versions: str
    severity: Severity
    problem: str
    remedy: str
    source: str
    beside: Package | None = None


@dataclass(frozen=True, kw_only=True)
class Advisories:
    """The table, and the day on which it was checked."""

    checked: str
    advisories: tuple[Advisory, ...]


@functools.cache
def load_advisories() -> Advisories:
    """Read ``advisories.json``."""
    file = resources.files(__package__).joinpath("advisories.json")
    return from_rest(Advisories, json.loads(file.read_text(encoding="utf-8")))


def read_lock(path: Path) -> Lock:
    """Read a requirements file; options, hashes, comments and foreign platforms are ignored.

    Raises:
        InputError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise InputError(f"--lock {path}: {problem.strerror}") from problem
    pins: dict[str, str] = {}
    unpinned: list[str] = []
    for line in text.replace("\\\n", " ").splitlines():
        entry = re.split(r"\s#|\s--", line.strip())[0].strip()
        if not entry or entry.startswith(("#", "-")):
            continue
        try:
            requirement = Requirement(entry)
        except InvalidRequirement:
            unpinned.append(entry)
            continue
        if requirement.marker and not requirement.marker.evaluate():
            continue
        exact = re.fullmatch(r"===?([^*]+)", str(requirement.specifier))
        if exact:
            pins[canonicalize_name(requirement.name)] = exact[1]
        else:
            unpinned.append(entry)
    return Lock(path, pins, tuple(unpinned))


def check_lock(lock: Lock) -> Iterator[Finding]:
    """Yield what is wrong with the versions that a file pins."""
    if lock.unpinned:
        more = f" and {len(lock.unpinned) - 3} more" if len(lock.unpinned) > 3 else ""
        yield warning(
            LOCK_UNPINNED,
            f"{lock.path}: not pinned to one version: {', '.join(lock.unpinned[:3])}{more}; the "
            "image of tomorrow is another than today's",
            "Lock them, for example with uv pip compile --generate-hashes.",
        )
    yield from _check_advisories(lock)
    yield from _check_against_beam(lock)


def _check_advisories(lock: Lock) -> Iterator[Finding]:
    table = load_advisories()
    for advisory in table.advisories:
        version = lock.pins.get(advisory.package)
        if version is None or version not in SpecifierSet(advisory.versions, prereleases=True):
            continue
        beside = ""
        if advisory.beside:
            other = lock.pins.get(advisory.beside.package)
            if other is None or other not in SpecifierSet(advisory.beside.versions):
                continue
            beside = f" beside {advisory.beside.package} {other}"
        found = error if advisory.severity is Severity.ERROR else warning
        yield found(
            LOCK_ADVISORY,
            f"{lock.path}: {advisory.package} {version}{beside}: {advisory.problem} "
            f"({advisory.source}, as of {table.checked})",
            advisory.remedy,
        )


def _check_against_beam(lock: Lock) -> Iterator[Finding]:
    """Compare the pins with what the same Beam, where it is installed here, asks for."""
    pinned = lock.pins.get("apache-beam")
    if pinned is None:
        return
    try:
        installed = metadata.distribution("apache-beam")
    except metadata.PackageNotFoundError:
        return
    if installed.version != pinned:
        return
    for text in installed.requires or ():
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = lock.pins.get(canonicalize_name(requirement.name))
        if version is not None and not requirement.specifier.contains(version, prereleases=True):
            yield error(
                LOCK_CONFLICT,
                f"{lock.path}: {requirement.name} {version}, and apache-beam {pinned} asks for "
                f"{requirement.specifier}",
                "Lock again from the requirements, with apache-beam among them.",
            )
