"""Helpers of the template's tests that are not fixtures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from template.blocks import Block


def join_blocks(blocks: Sequence[Block]) -> pd.DataFrame:
    """Return all rows: what travels beside the frames, then their columns, by row number."""
    frames = []
    for block in blocks:
        columns: dict[Any, Any] = dict(block.beside)
        columns |= {name: column.array for name, column in block.frame.items()}
        # With its type, because pandas would guess one.
        series = {
            name: pd.Series(cells, index=block.index, dtype=cells.dtype)
            for name, cells in columns.items()
        }
        frames.append(pd.DataFrame(series, index=block.index))
    return pd.concat(frames).sort_index() if frames else pd.DataFrame()
