"""Rows with exactly the columns that a model declares, in that order and with those types."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from template.blocks import IMAGE, Cells
from template.needs.columns import Column
from template.needs.image_format import ImageFormat
from template.parameters import did_you_mean
from template.sources.kinds import make_frame, without_rows
from template.sources.streams import ReadSettings, UnreadableError
from template.sources.typed_cells import TypedCells, missing_cells, type_values

NEEDED = "which the model needs"
"""Part of the message about a row or file without a column that the model declares."""
_SHOWN_NAMES = 3


class Needs(Protocol):
    """The model's part of the settings."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that it declares."""

    @property
    def images(self) -> ImageFormat:
        """The images that it declares."""

    @property
    def max_image_pixels(self) -> int:
        """The number of pixels beyond which an image is not decoded."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DeclaredRows:
    """Rows in the columns that a model declares.

    ``problems`` are by row; a row with one must not be predicted.
    """

    columns: Mapping[str, Cells]
    problems: Mapping[int, str]
    rows: int

    @classmethod
    def of_cells(
        cls, found: Mapping[str, TypedCells], rows: int, columns: Sequence[Column]
    ) -> DeclaredRows:
        """Return the columns that were found, and the optional ones that were not."""
        problems: dict[int, str] = {}
        for name, typed in found.items():
            for row, problem in typed.problems.items():
                problems.setdefault(row, f"column {name!r}: {problem}")
        return cls(
            columns={
                column.name: found[column.name].cells
                if column.name in found
                else missing_cells(column, rows)
                for column in columns
            },
            problems=problems,
            rows=rows,
        )

    @classmethod
    def of_records(cls, records: Sequence[Mapping[str, Any]], needs: Needs) -> DeclaredRows:
        """Return the declared fields of JSON objects; a missing optional field is None."""
        found = {
            column.name: type_values(
                column,
                [record.get(column.name) for record in records]
                if column.optional
                else [record[column.name] for record in records],
                needs.images,
                needs.max_image_pixels,
            )
            for column in needs.columns
        }
        return cls.of_cells(found, len(records), needs.columns)

    def without(self, wrong: Mapping[int, str]) -> DeclaredRows:
        """Return the rows with further problems."""
        return replace(self, problems={**self.problems, **wrong})

    @property
    def kept(self) -> np.ndarray:
        """The rows that can be predicted."""
        return without_rows(self.rows, self.problems)

    def make_frame(self) -> pd.DataFrame:
        """Return the rows that can be predicted."""
        kept = self.kept
        every = len(kept) == self.rows
        columns = {name: cells if every else cells[kept] for name, cells in self.columns.items()}
        if not all(_is_number(cells) for cells in columns.values()):
            return make_frame(columns, len(kept))
        # In one array, because models combine numeric columns into one.
        values = np.empty((len(columns), len(kept)))
        for position, cells in enumerate(columns.values()):
            values[position] = np.asarray(cells)
        return pd.DataFrame(values.T, columns=list(columns), copy=False)


def _is_number(cells: Cells) -> bool:
    return isinstance(cells, np.ndarray) and cells.dtype == np.float64


def find_wanted(names: Sequence[str], settings: ReadSettings) -> list[str] | None:
    """Return the columns of a file to read; None for all, if the model declares none."""
    if not settings.columns:
        return None
    wanted = {column.name for column in settings.columns}
    wanted.update(settings.passthrough_columns)
    found = [name for name in names if name in wanted or name == settings.key_column]
    return found or list(names[:1])  # which has as many rows


def check_image_column(needs: Needs) -> None:
    """Check that the model needs nothing but images.

    Raises:
        UnreadableError: it does.
    """
    check_declared((IMAGE,), needs)
    for column in needs.columns:
        if column.name == IMAGE and column.type not in ("image", "any"):
            raise UnreadableError(f"the model's column {IMAGE!r} is a {column.type}, not an image")


def complete_images(frame: pd.DataFrame, settings: ReadSettings) -> pd.DataFrame:
    """Return a frame of images with the other columns that the model declares, all missing."""
    if not settings.columns:
        return frame
    found = {IMAGE: TypedCells(frame[IMAGE].to_numpy(), {})}
    return DeclaredRows.of_cells(found, len(frame), settings.columns).make_frame()


def check_declared(names: Collection[str], needs: Needs) -> None:
    """Check that a file has the columns that the model needs.

    Raises:
        UnreadableError: it does not.
    """
    missing = _find_missing(names, needs)
    if missing:
        raise UnreadableError(
            f"no column {_list(missing)}, {NEEDED}{did_you_mean(missing[0], names)}; "
            f"its columns: {', '.join(names) or 'none'}"
        )


def required_fields(needs: Needs) -> frozenset[str]:
    """Return the names of the columns that are not optional."""
    return frozenset(column.name for column in needs.columns if not column.optional)


def check_fields(record: Mapping[str, Any], required: frozenset[str], needs: Needs) -> None:
    """Check that a JSON object has the fields that the model needs.

    Args:
        required: ``required_fields`` of ``needs``, computed once and not for every record.

    Raises:
        ValueError: it does not.
    """
    if not required <= record.keys():
        missing = _find_missing(record, needs)
        raise ValueError(
            f"no field {_list(missing)}, {NEEDED}{did_you_mean(missing[0], record)}; "
            f"its fields: {', '.join(record) or 'none'}"
        )


def _find_missing(names: Collection[str], needs: Needs) -> list[str]:
    return [
        column.name for column in needs.columns if not column.optional and column.name not in names
    ]


def _list(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    shown = ", ".join(map(repr, names[:_SHOWN_NAMES]))
    return f"{shown} and {more} more" if more > 0 else shown
