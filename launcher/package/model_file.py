"""A model file for a new project: finds out what it is, in a process that has its framework."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.errors import InputError

_TIMEOUT_SEC = 300.0
_SUFFIX = re.compile(r"(\.tar)?\.[a-z0-9]+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A file, or a folder, that needs no class of the user's.

    Attributes:
        path: where it is.
        model_class: the template's class that loads it, as ``module:Class``.
        kind: in words, with its article.
        options: values of the class's options.
        packages: what it needs besides torch, by the names that pip uses.
        columns: the input columns and their types, see ``template.model.Column``.
    """

    path: Path
    model_class: str
    kind: str
    options: Mapping[str, Any]
    packages: tuple[str, ...]
    columns: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of its copy; a folder becomes an archive, so that one command can upload it."""
        if self.path.is_dir():
            return "model.tar"
        suffix = "".join(self.path.suffixes[-2:])
        suffix = suffix if _SUFFIX.fullmatch(suffix) else self.path.suffix
        return f"model{suffix if _SUFFIX.fullmatch(suffix) else ''}"

    @property
    def takes_images(self) -> bool:
        return "image" in self.columns.values()

    def copy(self, folder: Path) -> Path:
        """Copy it into a folder, under its new name.

        Raises:
            InputError: it cannot be read, or the copy cannot be written.
        """
        copy = folder / self.name
        try:
            folder.mkdir(exist_ok=True)
            if self.path.is_dir():
                # The files of a Hugging Face download are links.
                with tarfile.open(copy, "w", dereference=True) as archive:
                    archive.add(self.path, arcname=self.path.resolve().name)
            else:
                shutil.copyfile(self.path, copy)
        except OSError as error:
            raise InputError(f"--checkpoint {self.path}: cannot be copied: {error}") from error
        return copy


def read_model_file(path: Path, options: Mapping[str, str]) -> ModelFile:
    """Return what a model file is. Blocks while it is read, 5 minutes at most.

    Args:
        path: a local file or folder.
        options: the model's options, as texts.

    Raises:
        InputError: it needs a class of the user's, or an option or a package is missing or wrong.
    """
    flag = f"--checkpoint {path}"
    if not path.exists():
        raise InputError(f"{flag}: no such file or folder here")
    place = str(path.resolve())
    # -P: use the kit's package even in a folder that has its own package called template.
    command = [sys.executable, "-P", "-m", "template.models.describe", place, json.dumps(options)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_SEC, check=False
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{flag}: reading it takes more than {_TIMEOUT_SEC:g} s") from None
    last = done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"
    if done.returncode == 2:
        problem = last.removeprefix(f"--model_path {place!r}: ")
        raise InputError(f"{flag}: {problem}{_find_remedy(problem)}")
    try:
        described = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    except ValueError:
        raise InputError(f"{flag}: cannot be read: {last}") from None
    return ModelFile(
        path=path,
        model_class=described["model_class"],
        kind=described["kind"],
        options=described["options"],
        packages=tuple(name for name in described["packages"] if name != "torch"),
        columns={column["name"]: column["type"] for column in described["columns"]},
    )


def _find_remedy(problem: str) -> str:
    if "class of your own" in problem or "--model_class" in problem:
        return ". --kind, without --checkpoint, writes a project with such a class"
    return ". Here: --parameters OPTION=VALUE" if "option" in problem else ""
