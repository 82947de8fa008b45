"""What every table's columns have to fulfil."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from template.sources.streams import ReadSettings, UnreadableError


def check_columns(names: Sequence[str], settings: ReadSettings) -> None:
    """Check that the key column is there, and that no two are named alike.

    Raises:
        UnreadableError: one of these does not hold.
    """
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UnreadableError(f"it has several columns {repeated[0]!r}: rename all but one")
    key_column = settings.key_column
    if key_column is not None and key_column not in names:
        raise UnreadableError(f"no key column {key_column!r}; its columns: {', '.join(names)}")
