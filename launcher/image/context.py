"""The files of an image: flexpack's own part, and the code and requirements of projects.

Flexpack's own part is the Dockerfile, and the files that its ignore file lets a build see:
https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.image.project_locks import merge_locks
from launcher.image.projects import Project, find_code, read_system_packages
from launcher.preflight.ignore_file import IgnoreFile, read_ignore_file

DOCKERFILE = Path("docker") / "Dockerfile"
IGNORE_FILE = Path("docker") / "Dockerfile.dockerignore"

# Where the Dockerfile expects the projects' files.
_CODE = "docker/project/code"
_REQUIREMENTS = "docker/project/requirements.in"
_LOCK = "docker/project/requirements.txt"
_SYSTEM_PACKAGES = "docker/system-packages.txt"
_WHEELS = "docker/wheels"


@dataclass(frozen=True)
class Context:
    """The files that a build sees: a local file, or a text, for each path in the context."""

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
    """Return the files of an image with the code of these projects.

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


def find_context_files(root: Path) -> list[Path]:
    """Return the files of flexpack's own part, relative to its root, in order."""
    own = {DOCKERFILE} if (root / DOCKERFILE).is_file() else set()
    return sorted({*own, *_walk(root, read_ignore_file(root / IGNORE_FILE))})


def is_in_context(root: Path, path: str) -> bool:
    """Return whether a file, which may not exist, is part of an image."""
    given = Path(path)
    return given == DOCKERFILE or not read_ignore_file(root / IGNORE_FILE).ignores(given)


def _walk(root: Path, ignored: IgnoreFile) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        here = Path(folder).relative_to(root)
        names[:] = [name for name in names if not ignored.ignores_all_of(here / name)]
        yield from (here / name for name in files if not ignored.ignores(here / name))
