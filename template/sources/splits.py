"""What a split of the input is, independently of its format."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from template.blocks import Block
from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.sources.streams import ReadSettings

FILES_PER_SPLIT = 256
_FEW_GROUPS, _FEW_FILES = 8, 16
WHOLE = ""
"""The range of a split that is a whole file."""


@dataclass(frozen=True, kw_only=True)
class SplitId:
    """Which part of which version of a file a split holds.

    It depends only on the files, never on the batch size or the workers, so one run can find
    what another has predicted of a split.

    Attributes:
        path: of the file, or the first of a group of files.
        generation: of the file, see ``FileVersion``; for a group a digest of all of them.
        range: of rows, bytes, row groups or files, in words; ``WHOLE`` for a whole file.
    """

    path: str
    generation: str
    range: str


def cut_evenly(files: Sequence[FileVersion], least: int = 1) -> Iterator[Sequence[FileVersion]]:
    """Divide files into ``least`` or more equal groups, as many for each of two workers."""
    size = len(files)
    groups = max(least, -(-size // FILES_PER_SPLIT), min(_FEW_GROUPS, size // _FEW_FILES), 1)
    if groups > 1:
        groups += groups % 2
    groups = min(groups, size)
    for number in range(groups):
        yield files[size * number // groups : size * (number + 1) // groups]


def digest_versions(files: Sequence[FileVersion]) -> str:
    """Return the generation of a group of files."""
    versions = repr([(file.path, file.generation) for file in files])
    return hashlib.sha256(versions.encode()).hexdigest()[:16]


class Split(Protocol):
    """A part of the input that one worker reads in one go."""

    @property
    def id(self) -> SplitId:
        """Its part of the input."""

    @property
    def path(self) -> str:
        """Its file; one of several files, whose folders give the same columns."""

    @property
    def source(self) -> str:
        """Its content, for dead letters."""

    @property
    def rows(self) -> int | None:
        """The number of its rows; None if it is known only after reading."""

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield its rows in blocks, and dead letters for unreadable parts."""


@dataclass(frozen=True, kw_only=True)
class WholeFile:
    """The base of splits that are a whole file, whose rows are counted only by reading it."""

    file: FileVersion

    @property
    def path(self) -> str:
        """The file's path."""
        return self.file.path

    @property
    def id(self) -> SplitId:
        """The file and its version."""
        return SplitId(path=self.path, generation=self.file.generation, range=WHOLE)

    @property
    def source(self) -> str:
        """The file, for dead letters."""
        return self.path

    @property
    def rows(self) -> None:
        """None, because the number of rows is known only after reading."""


class Splitter(Protocol):
    """Cuts a file into splits; may raise UnreadableError."""

    def __call__(
        self, file: FileVersion, settings: ReadSettings
    ) -> Iterator[Split | DeadLetter]: ...
