"""What a split of the input is, by itself."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE = ""
"""The range of a split that is a whole file."""


@dataclass(frozen=True, kw_only=True)
class SplitId:
    """Which part of which version of a file a split holds.

    It depends on the files alone, never on the batch size or the workers: what one run has
    predicted of a split, another can find again.

    Attributes:
        path: of the file, or the first of a group of files.
        generation: of the file, see ``FileVersion``; for a group a digest of all of them.
        range: of rows, bytes, row groups or files, in words; ``WHOLE`` for a whole file.
    """

    path: str
    generation: str
    range: str
