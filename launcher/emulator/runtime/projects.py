"""Registered projects: ``local/NAME`` stands for the modules of a folder and its own Python.

Kept in a file of the emulator's folder, so that a project outlives a restart. Several projects
share one emulator, wherever it was started.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

KIT = "flexpack"
"""The name reserved for the kit's own environment."""

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_PROBE_TIMEOUT_SEC = 20.0
_FIND_ENTRY_FILE = (
    "import importlib.util; spec = importlib.util.find_spec('template'); "
    "print(spec.submodule_search_locations[0] if spec else '')"
)


class BadProjectError(ValueError):
    """A project cannot be registered; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project of the user's own.

    Attributes:
        name: what follows ``local/``.
        folder: holds its packages; absolute.
        python: runs its launcher and its workers; has flexpack's ``template`` installed.
        entry_file: the entry file of the template that this Python has installed.
    """

    name: str
    folder: str
    python: str
    entry_file: str

    @property
    def missing(self) -> str:
        """The first of its files that is missing, or ""."""
        files = (self.folder, self.python, self.entry_file)
        return next((path for path in files if not Path(path).exists()), "")


class Projects:
    """The registered projects of an emulator; thread-safe.

    Args:
        path: the file that keeps them; None for none.

    Raises:
        BadProjectError: the file cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._projects: dict[str, Project] = {}
        if path is None or not path.exists():
            return
        try:
            found = [Project(**entry) for entry in json.loads(path.read_text())]
        except (OSError, ValueError, TypeError) as error:
            raise BadProjectError(
                f"{path} cannot be read ({error}); delete it and register the projects again"
            ) from error
        self._projects = {project.name: project for project in found}

    def register(self, name: str, folder: str, python: str) -> Project:
        """Add a project, or replace the one of this name; queries its Python for the template.

        Blocks for some 50 ms, and at most 20 seconds.

        Raises:
            BadProjectError: the name is invalid, or folder or Python cannot be used.
        """
        if not _NAME.fullmatch(name):
            raise BadProjectError(
                f"name {name!r}: an image's name has lower-case letters, digits and single '.', "
                "'_' or '-' between them"
            )
        if name == KIT:
            raise BadProjectError(f"name {KIT!r}: local/{KIT} is the kit's own environment")
        if not Path(folder).is_absolute() or not Path(folder).is_dir():
            raise BadProjectError(f"folder {folder!r}: not the absolute path of a folder")
        if not Path(python).is_absolute() or shutil.which(python) is None:
            raise BadProjectError(f"python {python!r}: not the absolute path of a program")
        project = Project(
            name=name, folder=folder, python=python, entry_file=_find_entry_file(python)
        )
        with self._lock:
            projects = {**self._projects, name: project}
            if self._path is not None:
                draft = self._path.with_suffix(".draft")
                draft.write_text(json.dumps([asdict(each) for each in projects.values()]))
                draft.replace(self._path)
            self._projects = projects
        return project

    def find(self, name: str) -> Project | None:
        """Return the project with this name."""
        return self._projects.get(name)

    def list(self) -> Sequence[Project]:
        """Return all projects by name."""
        return sorted(self._projects.values(), key=lambda project: project.name)


def _find_entry_file(python: str) -> str:
    """Return the path of the template's entry file in a Python environment."""
    try:
        # -P, and no PYTHONPATH: a folder called template beside the project is not flexpack's.
        done = subprocess.run(
            [python, "-P", "-c", _FIND_ENTRY_FILE],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_SEC,
            check=False,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadProjectError(f"python {python!r}: cannot be run: {error}") from error
    entry_file = Path(done.stdout.strip() or "/nowhere", "main.py")
    if done.returncode or not entry_file.is_file():
        said = done.stderr.strip().rpartition("\n")[2]
        raise BadProjectError(
            f"python {python!r}: flexpack is not installed there, so the project cannot "
            f"run{f' ({said})' if said else ''}"
        )
    return str(entry_file)
