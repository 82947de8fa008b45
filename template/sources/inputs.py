"""The files of a run's input, as its record lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from template.file_versions import FileVersion

_MOST_LISTED = 10_000


@dataclass(frozen=True, kw_only=True)
class InputFiles:
    """The number of files, their total bytes, and the first of them by path."""

    count: int
    size: int
    files: tuple[FileVersion, ...]

    @classmethod
    def of(cls, files: Sequence[FileVersion]) -> InputFiles:
        """Return the summary of all files."""
        return cls(
            count=len(files),
            size=sum(file.size for file in files),
            files=tuple(files[:_MOST_LISTED]),
        )
