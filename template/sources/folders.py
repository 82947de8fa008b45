"""Folders ``name=value`` that a pattern leaves open, as columns: ``day=2026-11-29/part-0.csv``.

Values are text, decoded as Hive and Spark encode them: ``%3A`` is a colon, and
``__HIVE_DEFAULT_PARTITION__`` a missing value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import unquote

from template.blocks import KEY, SOURCE, Block, object_cells
from template.sources.streams import ReadSettings, UnreadableError

_MISSING = "__HIVE_DEFAULT_PARTITION__"


def folder_names(path: str, settings: ReadSettings) -> tuple[str, ...]:
    """Return the names of the columns that the folders of a file give, outermost first."""
    return tuple(name for name, _ in _named_folders(path, settings))


def find_folder_columns(path: str, settings: ReadSettings) -> dict[str, str | None]:
    """Return the columns that the folders of a file give, outermost first.

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
    """Return the settings for what is in the file itself.

    Raises:
        UnreadableError: as ``find_folder_columns``.
    """
    columns = find_folder_columns(path, settings)
    passthrough = tuple(name for name in settings.passthrough_columns if name not in columns)
    return replace(settings, passthrough_columns=passthrough, folder_columns=frozenset(columns))


def add_folder_columns(block: Block, settings: ReadSettings) -> Block:
    """Return a block with the columns of its files' folders behind its own.

    Args:
        block: rows of files whose folders give the same columns, and none that the files have.
        settings: those of the job.
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
    passed = {
        name: cells[name].copy() if name in cells else block.beside[name]
        for name in settings.passthrough_columns
    }
    return replace(
        block,
        frame=block.frame.assign(**cells),
        beside={KEY: block.beside[KEY], **passed},
    )


def _named_folders(path: str, settings: ReadSettings) -> Iterator[tuple[str, str | None]]:
    if not path.startswith(settings.folder):
        return
    for folder in path.removeprefix(settings.folder).split("/")[:-1]:
        name, equals, value = folder.partition("=")
        if name and equals:
            yield unquote(name), None if value == _MISSING else unquote(value)
