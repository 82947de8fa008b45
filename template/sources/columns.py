"""Checks the columns of every table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from template.blocks import IMAGE, object_cells
from template.parameters import did_you_mean
from template.sources.streams import ReadSettings, UnreadableError

NAMED_AS_KEY = "which key_column names"
NAMED_BESIDE = "which passthrough_columns names"


def check_columns(names: Sequence[str], settings: ReadSettings) -> None:
    """Check that the columns that a job names exist, and that no two have the same name.

    Raises:
        UnreadableError: a check fails.
    """
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UnreadableError(f"it has several columns {repeated[0]!r}: rename all but one")
    check_folder_columns(names, settings)
    key_column = settings.key_column
    if key_column is not None and key_column not in names:
        raise UnreadableError(
            f"no column {key_column!r}, {NAMED_AS_KEY}"
            f"{did_you_mean(key_column, names)}; its columns: {', '.join(names)}"
        )
    check_passthrough(names, settings.passthrough_columns)


def check_folder_columns(names: Collection[str], settings: ReadSettings) -> None:
    """Check that no folder gives a column that the file or row already has.

    Raises:
        UnreadableError: one does.
    """
    for name in settings.folder_columns:
        if name in names:
            raise UnreadableError(
                f"column {name!r} is in it, and its folder '{name}=...' is column {name!r} too: "
                "rename one, or name the folder in --input without a wildcard"
            )


def copy_images(
    images: np.ndarray | Sequence[np.ndarray], settings: ReadSettings
) -> dict[str, np.ndarray]:
    """Return copies of images for their column, if it is passed through."""
    if IMAGE not in settings.passthrough_columns:
        return {}
    return {IMAGE: object_cells([image.copy() for image in images])}


def check_passthrough(names: Collection[str], passthrough_columns: Sequence[str]) -> None:
    """Check that the columns to pass through exist.

    Raises:
        UnreadableError: one does not.
    """
    for column in passthrough_columns:
        if column not in names:
            raise UnreadableError(
                f"no column {column!r}, {NAMED_BESIDE}"
                f"{did_you_mean(column, names)}; "
                f"its columns: {', '.join(names) or 'none'}"
            )
