"""Users' own projects, whose packages and requirements go into the image: ``--code DIR``.

::

    DIR/
      churn/__init__.py     packages: subfolders with an __init__.py, except tests
      requirements.in       what they need besides the image's own packages
      requirements.txt      the same, locked by 'flexpack image lock --code DIR'
      system-packages.txt   Debian packages, one per line
      wheels/               wheels that no index has
      .dockerignore         files of the packages that stay out of the image

A folder without any Python file may hold just the requirements of a model file that needs no
class. ``launcher.image.project_locks`` judges the lock.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from launcher.errors import InputError
from launcher.image.locks import read_lines
from launcher.preflight.ignore_file import read_ignore_file

REQUIREMENTS = "requirements.in"
LOCK = "requirements.txt"
SYSTEM_PACKAGES = "system-packages.txt"
WHEELS = "wheels"
IGNORE_FILE = ".dockerignore"

# Python would mistake these for the kit's.
_RESERVED = ("template", "launcher")
_MANY_BYTES = 50_000_000
_NOT_CODE = ("tests", "__pycache__")

# https://www.debian.org/doc/debian-policy/ch-controlfields.html#source, with an optional version
_SYSTEM_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?")


@dataclass(frozen=True, kw_only=True)
class Project:
    """One project.

    Attributes:
        packages: names of its packages; none if it holds only requirements.
        system_packages: names of Debian packages, some with ``=VERSION``.
    """

    folder: Path
    packages: tuple[str, ...]
    system_packages: tuple[str, ...] = ()

    @property
    def requirements(self) -> Path:
        """What its packages need, as the user wrote it; the file need not exist."""
        return self.folder / REQUIREMENTS

    @property
    def lock(self) -> Path:
        """The same, locked; the file need not exist."""
        return self.folder / LOCK

    @property
    def wheels(self) -> Path:
        """Wheels that no index has; the folder need not exist."""
        return self.folder / WHEELS


def read_projects(folders: Sequence[Path]) -> tuple[Project, ...]:
    """Read projects.

    Raises:
        InputError: a folder does not exist, holds no package, or holds one with a forbidden name;
            or two projects hold the same package.
    """
    projects = tuple(map(_read_project, folders))
    owners: dict[str, Path] = {}
    for project in projects:
        for name in project.packages:
            if name in owners:
                raise InputError(
                    f"--code {project.folder}: the package {name!r} is also in {owners[name]}; the "
                    "image can hold only one of them; rename the other"
                )
            owners[name] = project.folder
    return projects


def find_code(project: Project) -> Iterator[tuple[PurePosixPath, Path]]:
    """Yield every file of a project's packages, each with its path relative to the project.

    Hidden files, bytecode, ``tests`` folders, and files that the project's .dockerignore excludes
    are not included. Instead of a link, its target is copied.

    Raises:
        InputError: a file cannot be copied.
    """

    def stop(error: OSError) -> None:
        raise InputError(f"--code {project.folder}: {error.filename}: {error.strerror}") from error

    ignored = read_ignore_file(project.folder / IGNORE_FILE)
    for package in project.packages:
        for folder, names, files in os.walk(
            project.folder / package, onerror=stop, followlinks=True
        ):
            here = Path(folder).relative_to(project.folder)
            names[:] = [
                name for name in names if _is_code(name) and not ignored.ignores_all_of(here / name)
            ]
            files = [name for name in files if _is_code(name) and not ignored.ignores(here / name)]
            for name in (*names, *sorted(files)):
                path, relative = Path(folder) / name, here / name
                if problem := _find_problem(path, project.folder):
                    raise InputError(
                        f"--code {project.folder}: {str(relative)!r} {problem}; correct it, or "
                        f"name it in {project.folder / IGNORE_FILE}"
                    )
                if name in files:
                    yield PurePosixPath(relative.as_posix()), path


def find_weight(project: Project) -> str | None:
    """Return a warning about a project whose packages hold many megabytes, such as weights."""
    sizes = {path: path.stat().st_size for _, path in find_code(project)}
    if sum(sizes.values()) < _MANY_BYTES:
        return None
    largest = max(sizes, key=lambda path: sizes[path])
    return (
        f"--code {project.folder}: its packages hold {sum(sizes.values()) / 1e6:,.0f} MB, the most "
        f"in {largest.relative_to(project.folder)} ({sizes[largest] / 1e6:,.0f} MB). Each build "
        "reads all of it, each change of code pushes it, and every worker pulls it. Put weights "
        "into Cloud Storage, pass their path as model_path, and name the file in "
        f"{project.folder / IGNORE_FILE}"
    )


def _find_problem(path: Path, root: Path) -> str | None:
    """Return why a file or folder cannot be copied into an image, or None."""
    if {"Cc", "Cs"} & set(map(unicodedata.category, path.name)):  # Cs: bytes that are not UTF-8
        return "has a name that is not text"
    if not path.exists():
        return f"is a link to {str(path.readlink())!r}, which does not exist"
    if path.is_dir():
        above = [each.resolve() for each in path.parents if each.is_relative_to(root)]
        return "is a link to a folder that contains it" if path.resolve() in above else None
    if not path.is_file():
        return "is neither a file nor a folder"
    return None if os.access(path, os.R_OK) else "cannot be read by you"


def _is_code(name: str) -> bool:
    return not name.startswith(".") and name not in _NOT_CODE and not name.endswith(".pyc")


def _read_project(folder: Path) -> Project:
    if not folder.is_dir():
        raise InputError(f"--code {folder}: no such folder")
    packages = tuple(
        sorted(path.parent.name for path in folder.glob("*/__init__.py") if _is_package(path))
    )
    if not packages and (any(folder.rglob("*.py")) or not (folder / REQUIREMENTS).exists()):
        raise InputError(f"--code {folder}: holds no package, {_explain_packages(folder)}")
    for name in packages:
        if name in _RESERVED:
            raise InputError(
                f"--code {folder}: the package {name!r} has the name of one of flexpack's own; "
                "rename it"
            )
        if name in sys.stdlib_module_names:
            raise InputError(
                f"--code {folder}: the package {name!r} would hide Python's module of that name; "
                "rename it"
            )
    return Project(
        folder=folder,
        packages=packages,
        system_packages=read_system_packages(folder / SYSTEM_PACKAGES),
    )


def _is_package(init_file: Path) -> bool:
    name = init_file.parent.name
    return name.isidentifier() and _is_code(name)


def _explain_packages(folder: Path) -> str:
    """Return what a package is, and which folder the user may have meant."""
    found = "a subfolder with an __init__.py"
    if (folder / "__init__.py").exists():
        return f"{found}; it is a package itself: pass the folder above, --code {folder.parent}"
    if any(folder.glob("src/*/__init__.py")):
        return f"{found}; there are some in src: pass --code {folder / 'src'}"
    return found


def read_system_packages(path: Path) -> tuple[str, ...]:
    """Return the Debian packages that a file lists; none if it does not exist.

    Raises:
        InputError: a line is not the name of a package.
    """
    if not path.exists():
        return ()
    names = [line.partition("#")[0].strip() for line in read_lines(path)]
    for name in filter(None, names):
        if not _SYSTEM_PACKAGE.fullmatch(name):
            raise InputError(
                f"{path}: {name!r} is not a Debian package; give one name a line, such as "
                "libgomp1, or NAME=VERSION"
            )
    return tuple(filter(None, names))
