"""Parameters that list columns as a CSV line, so that a name with a comma can be quoted."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from template.parameters import ParameterError, did_you_mean
from template.sources.csv_cells import COLUMN_TYPES


def parse_passthrough_columns(text: str, taken: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns that are passed through.

    Raises:
        ParameterError: a name is given twice, or is the name of another column of the output.
    """
    names = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    flag = f"--passthrough_columns {text!r}"
    for position, name in enumerate(names):
        if not name:
            raise ParameterError(f"{flag}: a name is empty; separate names by single commas")
        if name in names[:position]:
            raise ParameterError(f"{flag}: names {name!r} twice")
        if name in taken:
            raise ParameterError(
                f"{flag}: {name!r} cannot be passed through, because every prediction has a "
                f"{name!r} of its own; rename the input's column"
            )
    return tuple(names)


def parse_column_types(text: str) -> dict[str, str]:
    """Return the type of each column, from ``name:type``.

    Raises:
        ParameterError: one has another form, or is given twice.
    """
    flag = f"--column_types {text!r}"
    types: dict[str, str] = {}
    for entry in next(csv.reader([text], skipinitialspace=True), []):
        name, colon, type_ = (part.strip() for part in entry.rpartition(":"))
        if not colon or not name:
            raise ParameterError(f"{flag}: {entry!r} is not a name and a type: zip:text,age:number")
        if type_ not in COLUMN_TYPES:
            raise ParameterError(
                f"{flag}: column {name!r}: no type {type_!r}, but {', '.join(COLUMN_TYPES)}"
                f"{did_you_mean(type_, COLUMN_TYPES)}"
            )
        if name in types:
            raise ParameterError(f"{flag}: names {name!r} twice")
        types[name] = type_
    return types
