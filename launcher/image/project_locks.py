"""The locks of the user's projects: read, compared with the image's own, and merged.

A project's ``requirements.txt`` pins and hashes the packages that the image lacks. 'flexpack image
lock --code' makes one; a lock from another tool works too. It may repeat pins of the image's own
lock, which are installed once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from launcher.errors import InputError
from launcher.finding import (
    LOCK_CONFLICT,
    LOCK_STALE,
    LOCK_UNPINNED,
    Finding,
    error,
)
from launcher.image.flavours import TORCH_COMPANIONS, Flavour
from launcher.image.locks import (
    PYTHON_VERSION,
    TORCH_LAYER,
    find_lock_paths,
    parse_requirements,
    read_lines,
    read_pins,
    strip_comments,
)
from launcher.image.projects import Project

_CHECKSUM = "# sha256 of the requirements: "
_HEADER = (
    "# Made by 'flexpack image lock --code' from requirements.in: do not edit.\n"
    "# It omits packages that are in flexpack's image anyway.\n"
)
_ENVIRONMENT = {
    "python_version": PYTHON_VERSION,
    "python_full_version": f"{PYTHON_VERSION}.0",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_system": "Linux",
    "sys_platform": "linux",
    "extra": "",
}
KitPins = Mapping[str, tuple[str, Path]]
_OPTION = re.compile(r"--(only|no)-binary(=|\s+)\S+")


@dataclass(frozen=True)
class Pin:
    """A package with its version and the hashes of its files."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        return next(iter(self.requirement.specifier)).version

    def __str__(self) -> str:
        hashes = "".join(f" \\\n    --hash={value}" for value in self.hashes)
        return f"{self.name}=={self.version}{hashes}\n"


@dataclass(frozen=True)
class ProjectLock:
    """A project's lock.

    Attributes:
        pins: by canonical name.
        options: pip's options about wheels and sources.
        unpinned: lines without a version and hashes.
        checksum: of the requirements that it was made from, if recorded.
    """

    path: Path
    pins: Mapping[str, Pin]
    options: tuple[str, ...] = ()
    unpinned: tuple[str, ...] = ()
    checksum: str | None = None


def read_project_lock(project: Project) -> ProjectLock:
    """Read a project's lock; one without pins if there is no file.

    Raises:
        InputError: it refers to other files, or to an index, whose address would remain in the
            image.
    """
    path = project.lock
    if not path.exists():
        return ProjectLock(path, {})
    text = "\n".join([*read_lines(path), ""])
    pins: dict[str, Pin] = {}
    options: list[str] = []
    unpinned: list[str] = []
    for line in strip_comments(text.replace("\\\n", " ").splitlines()):
        entry, *hashes = re.split(r"\s+--hash[= ]", line)
        if entry.startswith("-"):
            if not _OPTION.fullmatch(entry):
                raise InputError(
                    f"{path}: {entry.split()[0]}: a lock may hold only versions and hashes. Name "
                    f"packages in {project.requirements.name} and run {lock_command(project)}; "
                    "give your own index with --pip-conf FILE"
                )
            options.append(entry)
            continue
        try:
            requirement = Requirement(entry)
        except InvalidRequirement:
            unpinned.append(entry)
            continue
        if requirement.marker and not requirement.marker.evaluate(_ENVIRONMENT):
            continue
        exact = re.fullmatch(r"===?[^*,]+", str(requirement.specifier))
        if not exact or not hashes or requirement.url:
            unpinned.append(entry)
            continue
        pin = Pin(requirement, tuple(sorted(value.strip() for value in hashes)))
        pins[pin.name] = pin
    found = re.search(rf"^{_CHECKSUM}(\w+)$", text, re.MULTILINE)
    return ProjectLock(path, pins, tuple(options), tuple(unpinned), found[1] if found else None)


def read_project_requirements(project: Project) -> list[str]:
    """Return the lines of a project's requirements.in, without comments; none if it has none.

    Raises:
        InputError: a line is not a requirement that can be locked.
    """
    path = project.requirements
    if not path.exists():
        return []
    lines = strip_comments(read_lines(path))
    for line in lines:
        if line.startswith("-") and not _OPTION.fullmatch(line):
            raise InputError(
                f"{path}: {line.split()[0]}: give requirements, such as scikit-learn>=1.5, and "
                "perhaps --no-binary=NAME"
            )
    for requirement in parse_requirements(lines, path).values():
        if requirement.url:
            raise InputError(
                f"{path}: {requirement.name} comes from a URL; put its wheel into "
                f"{project.wheels} and name it without the URL"
            )
    return lines


def lock_command(project: Project) -> str:
    """Return the command that locks a project."""
    return f"'flexpack image lock --code {project.folder}'"


def format_project_lock(pins: str, lines: Sequence[str], options: Sequence[str]) -> str:
    """Return the text of a project's lock.

    Args:
        pins: with their hashes.
        lines: the requirements behind them.
        options: pip's options for wheels and sources.
    """
    body = "".join(f"{option}\n" for option in options)
    return f"{_HEADER}{_CHECKSUM}{_hash(lines)}\n{body}{pins}"


def check_project_locks(
    root: Path, projects: Sequence[Project], flavour: Flavour
) -> Iterator[Finding]:
    """Yield the packages in the projects' locks that cannot be installed together with the image's.

    Args:
        root: the folder with the image's own locks.

    Raises:
        InputError: a file cannot be read as requirements.
    """
    kit = read_kit_pins(root, flavour)
    owners: dict[str, ProjectLock] = {}
    for project in projects:
        for name in {canonicalize_name(name) for name in project.packages} & kit.keys():
            yield error(
                LOCK_CONFLICT,
                f"{project.folder}: the package {name!r} would hide {name} {kit[name][0]} of "
                f"{kit[name][1]}",
                "rename it",
            )
        lock = read_project_lock(project)
        yield from _check_pinned(project, lock)
        yield from check_conflicts(project, kit)
        yield from _check_requirements(project, lock, kit)
        for pin in lock.pins.values():
            yield from _check_pin(pin, lock, kit, flavour, project)
            other = owners.setdefault(pin.name, lock).pins[pin.name]
            if other.version != pin.version:
                yield error(
                    LOCK_CONFLICT,
                    f"{lock.path} pins {pin.name} {pin.version}, and {owners[pin.name].path} pins "
                    f"{other.version}",
                    "ask for the same version in both projects' requirements.in, and lock both",
                )


def read_kit_pins(root: Path, flavour: Flavour) -> KitPins:
    """Return the pins of the image's own locks: version and lock file, by canonical name."""
    return {
        name: (version, path)
        for path in find_lock_paths(flavour).values()
        for name, version in read_pins((root / path).read_text()).items()
    }


def check_conflicts(project: Project, kit: KitPins) -> Iterator[Finding]:
    """Yield a project's requirements that the image's own packages contradict."""
    for name, requirement in _read_applying(project).items():
        if name not in kit:
            continue
        version, path = kit[name]
        if not requirement.specifier.contains(version, prereleases=True):
            yield error(
                LOCK_CONFLICT,
                f"{project.requirements} requires {requirement}, but {path} pins {version}",
                "the image holds one version of it: require one that suits both",
            )


def format_problems(findings: Iterable[Finding]) -> str:
    """Return findings as the text of an error."""
    return "\n".join(f"{found.message}: {found.remedy}" for found in findings)


def refuse_project_locks(root: Path, projects: Sequence[Project], flavour: Flavour) -> None:
    """Refuse projects with findings of ``check_project_locks``.

    Raises:
        InputError: there are some.
    """
    findings = list(check_project_locks(root, projects, flavour))
    if findings:
        raise InputError(format_problems(findings))


def merge_locks(
    projects: Sequence[Project], kit_pins: Mapping[str, str]
) -> tuple[str, tuple[str, ...]]:
    """Return the lock of all projects, without the image's packages, and the names to import.

    Args:
        kit_pins: versions that the image's own locks pin, by canonical name.
    """
    pins: dict[str, Pin] = {}
    options: set[str] = set()
    named: set[str] = set()
    for project in projects:
        lock = read_project_lock(project)
        requirements = parse_requirements(read_project_requirements(project))
        # Another tool locks torch with CUDA libraries, which this image already has or does not
        # need.
        is_foreign = lock.checksum is None and "torch" in kit_pins
        own = {
            name: pin
            for name, pin in lock.pins.items()
            if name not in kit_pins
            and (name in requirements or not (is_foreign and TORCH_LAYER.fullmatch(name)))
        }
        pins |= own
        options.update(option.replace(" ", "=") for option in lock.options)
        named |= own.keys() & requirements.keys() if requirements else own.keys()
    body = [f"{option}\n" for option in sorted(options)]
    body += [str(pin) for _, pin in sorted(pins.items())]
    return "".join(body), tuple(sorted(named))


def _check_pinned(project: Project, lock: ProjectLock) -> Iterator[Finding]:
    if lock.unpinned:
        more = f" and {len(lock.unpinned) - 3} more" if len(lock.unpinned) > 3 else ""
        yield error(
            LOCK_UNPINNED,
            f"{lock.path}: {', '.join(lock.unpinned[:3])}{more}: not one version with its hashes",
            f"name what you need in {project.requirements} and run {lock_command(project)}",
        )


def _check_requirements(project: Project, lock: ProjectLock, kit: KitPins) -> Iterator[Finding]:
    """Compare requirements.in with its lock."""
    lines = read_project_requirements(project)
    if not lines or lock.unpinned:
        return
    remedy = f"run {lock_command(project)}"
    is_stale = lock.checksum not in (None, _hash(lines))
    for name, requirement in _read_applying(project).items():
        if name in kit:
            continue
        if name not in lock.pins:
            is_stale = False
            yield error(LOCK_STALE, f"{project.requirements}: {requirement} is not locked", remedy)
        elif not requirement.specifier.contains(lock.pins[name].version, prereleases=True):
            is_stale = False
            yield error(
                LOCK_STALE,
                f"{project.requirements}: {requirement} is locked to {lock.pins[name].version}",
                remedy,
            )
    if is_stale:
        yield error(
            LOCK_STALE, f"{project.requirements}: has changed since {lock.path} was made", remedy
        )


def _check_pin(
    pin: Pin,
    lock: ProjectLock,
    kit: KitPins,
    flavour: Flavour,
    project: Project,
) -> Iterator[Finding]:
    if pin.name in kit:
        version, path = kit[pin.name]
        if not pin.requirement.specifier.contains(version, prereleases=True):
            yield error(
                LOCK_CONFLICT,
                f"{lock.path} pins {pin.name} {pin.version}, and {path} pins {version}",
                f"the image holds one version of it; {lock_command(project)} takes the image's",
            )
    elif pin.name in TORCH_COMPANIONS and not flavour.has_build(pin.version):
        yield error(
            LOCK_CONFLICT,
            f"{lock.path} pins {pin.name} {pin.version}, which is not built for torch "
            f"{flavour.torch_version} of the flavour {flavour.name}",
            f"run 'flexpack image lock {flavour.name} --code {project.folder}' with an index that "
            "has the build",
        )


def _read_applying(project: Project) -> dict[str, Requirement]:
    """Return a project's requirements, without those for other platforms."""
    lines = read_project_requirements(project)
    return {
        name: requirement
        for name, requirement in parse_requirements(lines, project.requirements).items()
        if not requirement.marker or requirement.marker.evaluate(_ENVIRONMENT)
    }


def _hash(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
