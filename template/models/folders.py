"""Find the model in a folder: one of its files, or the folder as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import NamedTuple

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from template.models.hugging_face_folder import (
    CONFIG,
    UnsupportedModelError,
    find_task,
    has_weights,
    is_config,
    is_incomplete,
)

_MOST_FILES = 1000
"""The most files of a folder that are looked at."""


class UnclearFolderError(ValueError):
    """A folder holds several models, or one that cannot be used; the message says what to do."""


class Found(NamedTuple):
    """The class that loads a model, and the model's file; None for the whole folder."""

    kind: str
    file: str | None


def find_model(
    files: Mapping[str, str], find_kind: Callable[[str], str | None], *, path: str | None = None
) -> Found | None:
    """Return the model in a folder; None if there is none.

    Args:
        files: full path by path in the folder.
        find_kind: returns the class that loads a file, or None.
        path: of the folder, for messages; None if it was in an archive.

    Raises:
        UnclearFolderError: there are several, or an unsupported one of Hugging Face.
    """
    top = {name for name in files if "/" not in name}
    if CONFIG in top and has_weights(top):
        config = _read(files[CONFIG])
        try:
            if is_config(config):
                return Found(find_task(config).model_class, None)
        except UnsupportedModelError as error:
            raise UnclearFolderError(str(error)) from None
    for names in (top, files.keys() - top):
        kinds = {name: find_kind(files[name]) for name in sorted(names)[:_MOST_FILES]}
        found = [Found(kind, name) for name, kind in kinds.items() if kind]
        if len(found) > 1:
            raise UnclearFolderError(_describe_several([str(each.file) for each in found], path))
        if found:
            return found[0]
    if problem := is_incomplete(top):
        raise UnclearFolderError(problem)
    return None


def _read(path: str) -> bytes:
    with closing(FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)) as file:
        content: bytes = file.read()
    return content


def _describe_several(names: list[str], path: str | None) -> str:
    if path is None:
        return (
            f"is an archive of {len(names)} models: {', '.join(names)}. Unpack it and name one of "
            "them, or make an archive of one"
        )
    one = f"{path.rstrip('/')}/{names[0]}"
    return (
        f"is a folder of {len(names)} models: {', '.join(names)}. Name one of them: "
        f"--model_path={one}"
    )
