"""The columns that a model expects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from template.parameter_records import did_you_mean

ColumnType = Literal["number", "integer", "text", "boolean", "image", "any"]
COLUMN_TYPES: tuple[str, ...] = get_args(ColumnType)


@dataclass(frozen=True)
class Column:
    """A column that a model expects; ``predict`` gets only the declared ones.

    Args:
        name: the column's, or that of a field of a JSON object.
        type: "number" (float64, NaN if missing), "text" (None if missing), "integer" (int64),
            "boolean" (bool), "image" (see ``Images``), or "any" (values as they were read, each
            in its own cell). An integer, a boolean or an image must not be missing, unless the
            column is optional; its type is then pandas' Int64 or boolean, and a missing image is
            None.
        optional: whether files and messages may lack the whole column; its values are missing then.
            A column with gaps need not be optional.

    Raises:
        ValueError: the type is unknown.
    """

    name: str
    type: ColumnType
    optional: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"Column({self.name!r}): the name must be text")
        if self.type not in COLUMN_TYPES:
            raise ValueError(
                f"Column({self.name!r}, {self.type!r}): not one of {', '.join(COLUMN_TYPES)}"
                f"{did_you_mean(str(self.type), COLUMN_TYPES)}"
            )


def check_declared_columns(columns: Sequence[Column]) -> None:
    """Check the ``columns`` of a model.

    Raises:
        TypeError: one is not a Column.
        ValueError: two have the same name.
    """
    for column in columns:
        if not isinstance(column, Column):
            raise TypeError(f'columns: {column!r} is not a Column, such as Column("age", "number")')
    for name, count in Counter(column.name for column in columns).items():
        if count > 1:
            raise ValueError(f"columns: {name!r} is declared {count} times")
