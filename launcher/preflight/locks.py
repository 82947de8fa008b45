"""Checks requirement and lock files: what they pin, and whether the pins are compatible.

Known-bad versions are data, ``advisories.json``, with the day they were checked and their sources.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

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
from launcher.preflight.text_file import read_text

# The CUDA packages listed with a plain torch wheel show which CUDA it is built for.
_OTHER_FILE = re.compile(r"(?:-r|--requirement)[ =]*(\S+)")
_CUDA_RUNTIME = re.compile(r"nvidia-cuda-runtime(-cu\d+)?")


@dataclass(frozen=True)
class Lock:
    """The requirements of a file: pinned versions by canonical name, and what is not pinned."""

    path: Path
    pins: Mapping[str, str]
    unpinned: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """The canonical names of all packages, pinned or not."""
        loose = (re.match(r"[\w.-]+", entry) for entry in self.unpinned)
        return frozenset({*self.pins, *(canonicalize_name(name[0]) for name in loose if name)})

    @property
    def torch_build(self) -> str | None:
        """The flavour of torch, for example ``cu130`` or ``cpu``, if it is known."""
        local = self.pins.get("torch", "").partition("+")[2]
        if local:
            return local
        for name, version in self.pins.items():
            if _CUDA_RUNTIME.fullmatch(name):
                major, _, rest = version.partition(".")
                return f"cu{major}{rest.partition('.')[0]}"
        return None


@dataclass(frozen=True, kw_only=True)
class Package:
    """Versions of a package, as in PEP 440."""

    package: str
    versions: str


@dataclass(frozen=True, kw_only=True)
class Advisory:
    """Versions that are known to be bad, alone or together with another package (``beside``)."""

    package: str
    versions: str
    severity: Severity
    problem: str
    remedy: str
    source: str
    beside: Package | None = None


@dataclass(frozen=True, kw_only=True)
class Advisories:
    """The table, and the day when it was checked."""

    checked: str
    advisories: tuple[Advisory, ...]


@functools.cache
def load_advisories() -> Advisories:
    """Read ``advisories.json``."""
    file = resources.files(__package__).joinpath("advisories.json")
    return from_rest(Advisories, json.loads(file.read_text(encoding="utf-8")))


def read_lock(path: Path) -> Lock:
    """Read a requirements file and those that it includes, or the lock of uv, Poetry or PDM.

    Options, hashes, comments and requirements for other platforms are ignored.

    Raises:
        InputError: it cannot be read.
    """
    text = read_text(path, "--lock").content
    if path.suffix in (".lock", ".toml"):
        return Lock(path, _read_packages(text, path), ())
    pins: dict[str, str] = {}
    unpinned: list[str] = []
    for entry in _list_entries(text, path.parent, {path}):
        try:
            requirement = Requirement(entry)
        except InvalidRequirement:
            unpinned.append(entry)
            continue
        if requirement.marker and not _applies(requirement):
            continue
        exact = re.fullmatch(r"===?([^*,]+)", str(requirement.specifier))
        if exact:
            pins[canonicalize_name(requirement.name)] = exact[1]
        else:
            unpinned.append(entry)
    return Lock(path, pins, tuple(unpinned))


def _list_entries(text: str, folder: Path, seen: set[Path]) -> Iterator[str]:
    """Yield the requirements of a file and of those that it includes with ``-r``."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        entry = re.split(r"\s#|\s--|\s;\s*$", line.strip())[0].strip()
        if match := _OTHER_FILE.match(entry):
            other = folder / match[1]
            if other not in seen and other.is_file():
                seen.add(other)
                yield from _list_entries(read_text(other, "-r").content, other.parent, seen)
        elif entry and not entry.startswith(("#", "-")):
            yield entry


def _applies(requirement: Requirement) -> bool:
    try:
        return requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    except (UndefinedEnvironmentName, InvalidVersion):
        return True


def _read_packages(text: str, path: Path) -> dict[str, str]:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise InputError(f"--lock {path}: not TOML: {problem}") from problem
    found = document.get("package") or document.get("packages") or []
    return {
        canonicalize_name(str(each["name"])): str(each["version"])
        for each in found
        if isinstance(each, dict) and "name" in each and "version" in each
    }


def check_lock(lock: Lock) -> Iterator[Finding]:
    """Yield the problems of the versions that a file pins."""
    if lock.unpinned:
        more = f" and {len(lock.unpinned) - 3} more" if len(lock.unpinned) > 3 else ""
        yield warning(
            LOCK_UNPINNED,
            f"{lock.path}: not pinned to one version: {', '.join(lock.unpinned[:3])}{more}; "
            "tomorrow's image may differ from today's",
            "Lock them, for example with uv pip compile --generate-hashes.",
        )
    yield from _check_advisories(lock)
    yield from _check_against_beam(lock)


def _check_advisories(lock: Lock) -> Iterator[Finding]:
    table = load_advisories()
    for advisory in table.advisories:
        version = lock.pins.get(advisory.package)
        if version is None or not _is_in(version, advisory.versions):
            continue
        beside = ""
        if advisory.beside:
            other = lock.pins.get(advisory.beside.package)
            if other is None or not _is_in(other, advisory.beside.versions):
                continue
            beside = f" beside {advisory.beside.package} {other}"
        found = error if advisory.severity is Severity.ERROR else warning
        yield found(
            LOCK_ADVISORY,
            f"{lock.path}: {advisory.package} {version}{beside}: {advisory.problem} "
            f"({advisory.source}, as of {table.checked})",
            advisory.remedy,
        )


def _is_in(version: str, specifiers: str) -> bool:
    try:
        return Version(version) in SpecifierSet(specifiers, prereleases=True)
    except InvalidVersion:
        return False


def _check_against_beam(lock: Lock) -> Iterator[Finding]:
    """Compare the pins with the requirements of the same Beam, if it is installed here."""
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
        if version is not None and not _is_in(version, str(requirement.specifier)):
            yield error(
                LOCK_CONFLICT,
                f"{lock.path}: {requirement.name} {version}, but apache-beam {pinned} requires "
                f"{requirement.specifier}",
                "Lock again from the requirements, including apache-beam.",
            )
