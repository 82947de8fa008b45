"""Many small text files: a split is a group of them. Each is fetched once and read from memory.

Split one by one, each would be read twice and make a block of only a few rows. Their rows are not
counted before they are read.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from template.blocks import Block
from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.sources.csv import read_csv, split_csv
from template.sources.formats import Format
from template.sources.jsonl import read_jsonl, split_jsonl
from template.sources.read_ahead import read_ahead
from template.sources.splits import SplitId, WholeFile, cut_evenly, digest_versions
from template.sources.streams import GZIP_MAGIC, ReadSettings, open_stored

FEWEST_FILES = 64
"""Fewer are split one by one: their rows are counted then, and shared more evenly."""
SMALL_BYTES = 1 << 20
_GROUP_BYTES = 16 << 20
_FORMATS: Mapping[Format, tuple[Any, Any]] = MappingProxyType(
    {Format.CSV: (read_csv, split_csv), Format.JSONL: (read_jsonl, split_jsonl)}
)


@dataclass(frozen=True, kw_only=True)
class SmallFile(WholeFile):
    """A file of a group; its content is fetched or requested before it is read."""

    format: Format
    fetch: Callable[[], bytes]

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the rows in blocks, and dead letters for what cannot be read."""
        read, split = _FORMATS[self.format]
        data = self.fetch()
        if not data.startswith(GZIP_MAGIC):
            yield from read(io.BytesIO(data), self.path, settings)
            return
        for part in split(self.file, settings):  # it may hold much more than its size suggests
            if isinstance(part, DeadLetter):
                yield part
            else:
                yield from part.read(settings)


@dataclass(frozen=True, kw_only=True)
class SmallFilesSplit:
    """A group of files of one format."""

    files: tuple[FileVersion, ...]
    format: Format

    @property
    def id(self) -> SplitId:
        """The files and their versions."""
        return SplitId(
            path=self.path,
            generation=digest_versions(self.files),
            range=f"{len(self.files)} files",
        )

    @property
    def path(self) -> str:
        """The first of the files."""
        return self.files[0].path

    @property
    def source(self) -> str:
        """Its content, for dead letters."""
        return f"{self.files[0].path} to {self.files[-1].path}"

    @property
    def rows(self) -> None:
        """None, because the number of rows is known only after reading."""

    def open(self) -> Iterator[SmallFile]:
        """Yield the files; those in Cloud Storage are fetched several at a time."""
        paths = [file.path for file in self.files]
        sizes = [file.size for file in self.files]
        contents = read_ahead(paths, sizes, _read_stored)
        for file, fetch in zip(self.files, contents, strict=True):
            yield SmallFile(file=file, format=self.format, fetch=fetch)


def is_small(file: FileVersion, format_: Format) -> bool:
    """Return whether a file is read from memory if there are many of its kind."""
    is_packed = file.path.lower().endswith(".gz")  # and may be large
    return format_ in _FORMATS and file.size <= SMALL_BYTES and not is_packed


def group_small_files(files: Sequence[FileVersion], format_: Format) -> Iterator[SmallFilesSplit]:
    """Group files of one format."""
    least = -(-sum(file.size for file in files) // _GROUP_BYTES)
    for group in cut_evenly(files, least):
        yield SmallFilesSplit(files=tuple(group), format=format_)


def _read_stored(path: str) -> bytes:
    with open_stored(path) as stream:
        return stream.read()
