"""The types of the columns that a scikit-learn estimator was trained on.

The estimator itself does not keep types, but its first steps do: encoders have categories.
Everything else in scikit-learn takes numbers; columns of transformers from other libraries stay as
they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from template.needs.columns import ColumnType

_INNER = ("best_estimator_", "estimator_", "regressor_", "_preprocessor")
"""Attributes that hold an estimator of the same rows."""


def find_types(estimator: Any, names: Sequence[str]) -> list[ColumnType]:
    """Return the type of each column."""
    found: dict[str, set[ColumnType]] = {name: set() for name in names}
    for part, own in find_parts(estimator, list(names)):
        for name, type_ in zip(own, _find_part_types(part, len(own)), strict=True):
            found[name].add(type_)
    return [next(iter(types)) if len(types) == 1 else "any" for types in found.values()]


def find_parts(estimator: Any, names: list[str]) -> Iterator[tuple[Any, list[str]]]:
    """Yield the first steps, each with its columns; a text stands for "drop" or "passthrough"."""
    inner = next((getattr(estimator, name, None) for name in _INNER if _has(estimator, name)), None)
    several = list(getattr(estimator, "estimators_", ()))
    if hasattr(estimator, "steps"):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
        yield from find_parts(steps[0] if steps else "passthrough", names)
    elif hasattr(estimator, "transformers_"):
        indices = getattr(estimator, "_transformer_to_input_indices", {})
        for name, transformer, _ in estimator.transformers_:
            own = [names[index] for index in indices.get(name, ()) if index < len(names)]
            if isinstance(transformer, str):  # dropped, or passed on
                yield transformer, own
            else:
                yield from find_parts(transformer, own)
    elif hasattr(estimator, "transformer_list"):
        for _, transformer in estimator.transformer_list:
            yield from find_parts(transformer, names)
    elif inner is not None:
        yield from find_parts(inner, names)
    elif several and hasattr(several[0], "steps"):
        yield from find_parts(several[0], names)
    else:
        yield estimator, names


def takes_texts(part: Any) -> bool:
    """Return whether a step turns a column of texts into numbers."""
    return hasattr(part, "build_analyzer")


def find_categories(part: Any) -> list[list[Any]]:
    """Return the categories of each column of an encoder; nothing for other steps."""
    found = getattr(part, "categories_", ())
    return [list(each) for each in found] if isinstance(found, list) else []


def _has(estimator: Any, name: str) -> bool:
    return getattr(estimator, name, None) is not None


def _find_part_types(part: Any, columns: int) -> list[ColumnType]:
    if takes_texts(part):
        return ["text"] * columns
    if categories := find_categories(part):
        return [_type_values(values) for values in categories]
    statistics = list(getattr(part, "statistics_", ()))  # of an imputer
    if statistics and len(statistics) == columns:
        return [_type_values([value]) for value in statistics]
    is_known = part == "passthrough" or type(part).__module__.startswith("sklearn.")
    return ["number" if is_known else "any"] * columns


def _type_values(values: Sequence[Any]) -> ColumnType:
    """Return the type for values; NaN and None stand for missing ones."""
    kinds = {type(value) for value in values if value is not None and value == value}
    if kinds and all(issubclass(kind, str) for kind in kinds):
        return "text"
    if kinds and kinds <= {bool, np.bool_}:
        return "boolean"
    return "number" if all(hasattr(kind, "__float__") for kind in kinds) else "any"
