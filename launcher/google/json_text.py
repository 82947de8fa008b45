"""Read JSON that users wrote, so that everything in it can be shown and sent."""

from __future__ import annotations

import json

MOST_LEVELS = 100
"""How deep the service lets objects and lists nest."""


def read_json(text: str | bytes) -> object:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON, has an unpaired surrogate, or is nested too deep.
    """
    try:
        value: object = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"nested more than {MOST_LEVELS} levels deep") from error
    if _is_deeper(value):
        raise ValueError(f"nested more than {MOST_LEVELS} levels deep")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        shown = error.object[error.start]
        raise ValueError(f"has the surrogate {shown!a} without its partner") from error
    return value


def _is_deeper(value: object) -> bool:
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(MOST_LEVELS):
        layer = [
            item
            for outer in layer
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, dict | list)
        ]
        if not layer:
            return False
    return True
