"""Folders ``name=value`` matched by a wildcard, as columns: ``day=2026-11-29/part-0.csv``.

Values are text, unless the model or ``column_types`` says otherwise, decoded as Hive and Spark
encode them: ``%3A`` is a colon, and ``__HIVE_DEFAULT_PARTITION__`` a missing value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from template.blocks import KEY, SOURCE, Block, Cells, object_cells
from template.sources.csv_cells import NUMBER, read_numbers
from template.sources.streams import ReadSettings, UnreadableError
from template.sources.typed_cells import type_texts

_MISSING = "__HIVE_DEFAULT_PARTITION__"


def folder_names(path: str, settings: ReadSettings) -> tuple[str, ...]:
    """Return the names of the columns from a file's folders, outermost first."""
    return tuple(name for name, _ in _named_folders(path, settings))


def find_folder_columns(path: str, settings: ReadSettings) -> dict[str, str | None]:
    """Return the columns from a file's folders, outermost first.

    Raises:
        UnreadableError: two of them give the same column.
    """
    columns: dict[str, str | None] = {}
    for name, value in _named_folders(path, settings):
        if name in columns:
            raise UnreadableError(f"two of its folders are '{name}=...': rename one")
        columns[name] = value
    return columns


def without_folder_columns(path: str, settings: ReadSettings) -> ReadSettings:
    """Return the settings for the file's own content.

    Raises:
        UnreadableError: as for ``find_folder_columns``, or a value is not a number, although
            ``column_types`` requires it.
    """
    columns = find_folder_columns(path, settings)
    for name in columns:
        _type_cells(name, [columns[name]], settings)
    passthrough = tuple(name for name in settings.passthrough_columns if name not in columns)
    return replace(
        settings,
        passthrough_columns=passthrough,
        column_types={
            name: type_ for name, type_ in settings.column_types.items() if name not in columns
        },
        folder_columns=frozenset(columns),
        columns=tuple(column for column in settings.columns if column.name not in columns),
    )


def add_folder_columns(block: Block, settings: ReadSettings) -> Block:
    """Return a block with the columns from its files' folders appended to its own.

    Args:
        block: rows of files whose folders give the same columns, and none that the files have.
        settings: the job's settings.
    """
    source = block.attrs.get(SOURCE)
    paths = block.beside[KEY].tolist() if source is None else [source]  # keys of image files
    values = [find_folder_columns(path, settings) for path in paths]
    if not values[0]:
        return block
    cells = {
        name: object_cells([row[name] for row in values] * (len(block) // len(values)))
        for name in values[0]
    }
    declared = [column.name for column in settings.columns]
    typed = {
        name: _type_cells(name, texts, settings)
        for name, texts in cells.items()
        if name in declared or not declared
    }
    frame = block.frame.assign(**typed)
    passed = {
        name: cells[name] if name in cells else block.beside[name]
        for name in settings.passthrough_columns
    }
    return replace(
        block,
        frame=frame[declared] if declared else frame,
        beside={KEY: block.beside[KEY], **passed},
    )


def _type_cells(
    name: str, texts: Sequence[str | None] | np.ndarray, settings: ReadSettings
) -> Cells:
    """Return folders' values in the types of the model or ``column_types``, or else as texts."""
    column = next((each for each in settings.columns if each.name == name), None)
    if column is not None:
        cells, problems = type_texts(
            column,
            pa.chunked_array([pa.array(texts, pa.string())]),
            settings.images,
            settings.max_image_pixels,
        )
        for row, problem in problems.items():
            raise UnreadableError(f"its folder '{name}={texts[row]}': {problem}")
        return cells
    if settings.column_types.get(name) != NUMBER:
        return object_cells(texts)
    numbers = read_numbers(pa.chunked_array([pa.array(texts, pa.string())]))
    for text in numbers.cells.values():
        raise UnreadableError(
            f"the value of its folder '{name}={text}' is not a number that float64 holds exactly, "
            f"as column_types requires: pass {name}:text"
        )
    return numbers.values


def _named_folders(path: str, settings: ReadSettings) -> Iterator[tuple[str, str | None]]:
    if not path.startswith(settings.folder):
        return
    for folder in path.removeprefix(settings.folder).split("/")[:-1]:
        name, equals, value = folder.partition("=")
        if name and equals:
            yield unquote(name), None if value == _MISSING else unquote(value)
