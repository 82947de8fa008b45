"""What an image is made of: flexpack's own part, and the code and requirements of projects.

Flexpack's own part is the Dockerfile, and the files that its ignore file lets a build see:
https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from launcher.image.project_locks import merge_locks
from launcher.image.projects import Project, find_code, read_system_packages

DOCKERFILE = Path("docker") / "Dockerfile"
IGNORE_FILE = Path("docker") / "Dockerfile.dockerignore"

# Where the Dockerfile expects what projects bring.
_CODE = "docker/project/code"
_REQUIREMENTS = "docker/project/requirements.in"
_LOCK = "docker/project/requirements.txt"
_SYSTEM_PACKAGES = "docker/system-packages.txt"
_WHEELS = "docker/wheels"


@dataclass(frozen=True)
class Context:
    """What a build sees: a file of this machine, or a text, for each path in the context."""

    files: Mapping[str, Path | str]

    @functools.cached_property
    def hash(self) -> str:
        """The hash of all names and contents."""
        digest = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            if isinstance(content, Path):
                with content.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            else:
                found = hashlib.sha256(content.encode()).hexdigest()
            digest.update(f"{name} {found}\n".encode())
        return digest.hexdigest()

    def write(self, folder: Path) -> None:
        """Write all of it into an empty folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copy2(content, path)
            else:
                path.write_text(content)


def read_context(kit: Path, projects: Sequence[Project], kit_pins: Mapping[str, str]) -> Context:
    """Return what an image with the code of these projects is made of.

    Args:
        kit: the folder with flexpack's own part.
        kit_pins: versions that the image's own locks pin.

    Raises:
        InputError: a project's files cannot be used together.
    """
    files: dict[str, Path | str] = {path.as_posix(): kit / path for path in find_context_files(kit)}
    if not projects:
        return Context(files)
    for project in projects:
        files |= {f"{_CODE}/{name}": path for name, path in find_code(project)}
        files |= {f"{_WHEELS}/{path.name}": path for path in project.wheels.glob("*.whl")}
    lock, named = merge_locks(projects, kit_pins)
    system = {name for project in projects for name in project.system_packages}
    system.update(read_system_packages(kit / _SYSTEM_PACKAGES))
    files[_LOCK] = lock
    files[_REQUIREMENTS] = "".join(f"{name}\n" for name in named)
    files[_SYSTEM_PACKAGES] = "".join(f"{name}\n" for name in sorted(system))
    return Context(files)


@dataclass(frozen=True)
class _Rule:
    """A line of an ignore file."""

    pattern: re.Pattern[str]
    is_exception: bool
    text: str


def find_context_files(root: Path) -> list[Path]:
    """Return the files of flexpack's own part, relative to its root, in order."""
    rules = _read_rules(root / IGNORE_FILE)
    own = {DOCKERFILE} if (root / DOCKERFILE).is_file() else set()
    return sorted({*own, *_walk(root, rules)})


def is_in_context(root: Path, path: str) -> bool:
    """Return whether a file, which need not exist, is part of what an image is made of."""
    given = Path(path)
    return given == DOCKERFILE or not _is_ignored(given, _read_rules(root / IGNORE_FILE))


def _walk(root: Path, rules: list[_Rule]) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        here = Path(folder).relative_to(root)
        # What is ignored is not walked through, unless an exception lies in it.
        names[:] = [
            name
            for name in names
            if not _is_ignored(here / name, rules) or _has_exception(here / name, rules)
        ]
        yield from (here / name for name in files if not _is_ignored(here / name, rules))


def _is_ignored(path: Path, rules: list[_Rule]) -> bool:
    """Return what the last rule says that matches a path or a folder above it."""
    places = [place.as_posix() for place in (path, *path.parents)]
    matching = (rule for rule in reversed(rules) if any(map(rule.pattern.fullmatch, places)))
    last = next(matching, None)
    return last is not None and not last.is_exception


def _has_exception(folder: Path, rules: list[_Rule]) -> bool:
    depth = len(folder.parts)
    return any(
        rule.is_exception
        and (
            "**" in rule.text
            or _translate("/".join(PurePosixPath(rule.text).parts[:depth])).fullmatch(
                folder.as_posix()
            )
        )
        for rule in rules
    )


def _read_rules(path: Path) -> list[_Rule]:
    if not path.is_file():
        return []
    rules = []
    for line in path.read_text().splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        is_exception = text.startswith("!")
        text = text.removeprefix("!").strip().strip("/")
        rules.append(_Rule(_translate(text), is_exception, text))
    return rules


def _translate(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]*\])", pattern)
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(
            wildcards.get(part) or (part if part.startswith("[") else re.escape(part))
            for part in parts
        )
    )
