"""Tries the user's model, a class or a file, in the image before a push, with a sample of rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from launcher.errors import InputError
from launcher.google.storage import list_object_names, read_object
from launcher.preflight.rehearsal.sample import NoSample, read_sample

_MOST_FILES = 1000  # of a model's folder
# Where the image sees the files.
_INSIDE = PurePosixPath("/tmp/flexpack-trial")  # noqa: S108


@dataclass(frozen=True, kw_only=True)
class ModelTrial:
    """What to try in the image.

    Attributes:
        model_class: ``module:Class``, importable in the image; None takes that of the file's kind.
        model_path: its file or folder, local or ``gs://``; None only imports the class.
        input: rows to predict, as the template's parameter; None only loads the model. Only one
            file is used, and only the first megabyte of a file of lines.
        parameters: more parameters of the batch template.
    """

    model_class: str | None = None
    model_path: str | None = None
    input: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name in messages."""
        return self.model_class or PurePosixPath(self.model_path or "").name


@dataclass(frozen=True)
class PreparedTrial:
    """The probe's options for a trial, and the files of this machine that it reads in the image."""

    options: Mapping[str, Any] | None
    mounts: Mapping[Path, PurePosixPath]


@contextmanager
def prepared(trial: ModelTrial) -> Iterator[PreparedTrial]:
    """Bring a trial's files to this machine, and remove copies at the end. Blocks.

    Raises:
        InputError: the file does not exist.
        StorageError: Cloud Storage refused, or could not be reached.
    """
    with tempfile.TemporaryDirectory() as directory:
        mounts: dict[Path, PurePosixPath] = {}
        model_path = sample = None
        if trial.model_path:
            path = _find_model(trial.model_path, Path(directory))
            model_path = mounts[path] = _INSIDE / "model" / path.name
        if trial.input:
            path = _find_sample(trial.input, Path(directory))
            sample = mounts[path] = _INSIDE / "input" / path.name
        options = {
            "model_class": trial.model_class,
            "model_path": str(model_path) if model_path else None,
            "input": str(sample) if sample else None,
            "parameters": dict(trial.parameters),
        }
        yield PreparedTrial(options, mounts)


def _find_model(model_path: str, directory: Path) -> Path:
    if model_path.startswith("gs://"):
        copy = directory / PurePosixPath(model_path).name
        bucket, _, name = model_path.removeprefix("gs://").rstrip("/").partition("/")
        files = list_object_names(bucket, f"{name}/", most=_MOST_FILES) or []
        for file in files:
            if not file.endswith("/"):  # a folder's placeholder
                path = copy / PurePosixPath(file).relative_to(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(read_object(f"gs://{bucket}/{file}", flag="--model-path"))
        if not files:
            copy.write_bytes(read_object(model_path, flag="--model-path"))
        return copy
    path = Path(model_path).absolute()
    if not path.exists():
        raise InputError(f"--model-path {model_path!r}: no such file or folder")
    return path


def _find_sample(pattern: str, directory: Path) -> Path:
    try:
        sample = read_sample(pattern)
    except NoSample as problem:
        raise InputError(f"--input {problem}") from problem
    copy = directory / sample.name
    copy.write_bytes(sample.content)
    return copy
