"""ReadBlocks: files of a pattern -> splits of them -> blocks of rows.

Only names and ranges are reshuffled, so that many workers share the reading; the data itself goes
from the file to the model within one worker. Memory is bounded by a split, not by a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput

from template.blocks import Block
from template.dead_letters import DEAD_LETTERS, ROWS_READ, DeadLetter, describe
from template.parameters import ParameterError
from template.sources.csv import split_csv
from template.sources.formats import Format, find_format
from template.sources.idx import split_idx
from template.sources.images import ImagesSplit, split_images
from template.sources.jsonl import split_jsonl
from template.sources.parquet import split_parquet
from template.sources.streams import ReadSettings, SourceFile, UnreadableError

AUTO = "auto"
_DEAD_LETTERS = "dead_letters"  # as in the output types below
_LITERAL = re.compile(r"(?P<folder>[^*?\[]*/)")
"""What a pattern begins with: folders without wildcards."""


class Split(Protocol):
    """A part of the input that one worker reads at a stretch."""

    @property
    def source(self) -> str:
        """What it holds, for dead letters."""

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield its rows in blocks, and dead letters for what cannot be read."""


class Splitter(Protocol):
    """Cuts a file into splits; may raise UnreadableError."""

    def __call__(
        self, file: SourceFile, settings: ReadSettings
    ) -> Iterator[Split | DeadLetter]: ...


_SPLITTERS: Mapping[Format, Splitter] = MappingProxyType(
    {
        Format.IDX: split_idx,
        Format.CSV: split_csv,
        Format.JSONL: split_jsonl,
        Format.PARQUET: split_parquet,
    }
)


class ReadBlocks(beam.PTransform):
    """Reads the files of a pattern; the result is ``(blocks, dead_letters)``.

    Args:
        pattern: file or file pattern of any Beam filesystem.
        input_format: a ``Format``, or "auto" to go by each file's name.
        batch_size: largest number of rows of a block.
        key_column: column of tables that holds the keys; without it the keys are
            ``<file name>#<row number from 0>``, where a file below folders that the pattern leaves
            open is named with them: ``day=1/part-0.csv``. The key of an image file is its path.
        passthrough_columns: columns that travel beside the frame as they were read. A file (or a
            row of JSON) that lacks one is a dead letter.
    """

    def __init__(
        self,
        pattern: str,
        *,
        input_format: str = AUTO,
        batch_size: int,
        key_column: str | None = None,
        passthrough_columns: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self._pattern = pattern
        self._input_format = input_format
        begin = _LITERAL.match(pattern)
        self._settings = ReadSettings(
            batch_size=batch_size,
            key_column=key_column,
            passthrough_columns=passthrough_columns,
            folder=begin["folder"] if begin else "",
        )

    def expand(self, pbegin: PBegin) -> tuple[PCollection, PCollection]:
        """Find, split and read."""
        files, unknown = (
            pbegin
            | "Start" >> beam.Impulse()
            | "FindFiles" >> _parted(_FindFiles(self._pattern, self._input_format))
        )
        splits, unsplit = (
            files
            | "SpreadFiles" >> beam.Reshuffle()
            | "SplitFiles" >> _parted(_SplitFile(self._settings))
        )
        blocks, unread = (
            splits
            | "SpreadSplits" >> beam.Reshuffle()
            | "ReadSplits" >> _parted(_ReadSplit(self._settings))
        )
        dead_letters = (unknown, unsplit, unread) | "DeadLetters" >> beam.Flatten()
        return blocks, dead_letters


def find_files(pattern: str) -> list[SourceFile]:
    """Return the files that match, by path.

    Raises:
        ParameterError: there is none, or the place cannot be listed.
    """
    try:
        matched = FileSystems.match([pattern])[0].metadata_list
    except Exception as error:  # every filesystem has its own exceptions
        raise ParameterError(f"--input {pattern!r}: cannot be listed: {error}") from error
    if not matched:
        raise ParameterError(f"--input {pattern!r}: no file matches this pattern")
    files = [SourceFile(path=found.path, size=found.size_in_bytes) for found in matched]
    return sorted(files, key=lambda file: file.path)


def check_input(pattern: str, input_format: str) -> None:
    """Check, before a job is launched, that there is something to read; lists the files.

    Raises:
        ParameterError: no file matches, or no name of those that do tells a format.
    """
    files = find_files(pattern)
    if input_format == AUTO and not any(find_format(file.path) for file in files):
        raise ParameterError(
            f"--input {pattern!r}: the name {files[0].path!r} tells no format; pass "
            f"--input_format, one of {', '.join(Format)}"
        )


@dataclass(frozen=True, kw_only=True)
class _FormattedFile:
    file: SourceFile
    format: Format


def _parted(fn: beam.DoFn) -> Any:
    return beam.ParDo(fn).with_outputs(_DEAD_LETTERS, main="main")


class _FindFiles(beam.DoFn):
    """Pattern -> files with their format; image files in groups, as the splits that they are."""

    def __init__(self, pattern: str, input_format: str) -> None:
        self._pattern = pattern
        self._input_format = input_format

    def process(self, _: bytes) -> Iterator[Any]:
        images = []
        for file in find_files(self._pattern):
            format_ = (
                find_format(file.path) if self._input_format == AUTO else Format(self._input_format)
            )
            if format_ is None:
                error = UnreadableError("its name tells no format: pass --input_format")
                yield from _dead_letter(file.path, error)
            elif format_ is Format.IMAGES:
                images.append(file.path)
            else:
                yield _FormattedFile(file=file, format=format_)
        yield from split_images(images)


class _SplitFile(beam.DoFn):
    """File -> splits."""

    def __init__(self, settings: ReadSettings) -> None:
        self._settings = settings

    def process(self, element: _FormattedFile | ImagesSplit) -> Iterator[Any]:
        if isinstance(element, ImagesSplit):
            yield element
            return
        try:
            for part in _SPLITTERS[element.format](element.file, self._settings):
                yield from _count(part) if isinstance(part, DeadLetter) else (part,)
        except UnreadableError as error:
            yield from _dead_letter(element.file.path, error)


@beam.typehints.with_output_types(Block, dead_letters=DeadLetter)
class _ReadSplit(beam.DoFn):
    """Split -> blocks."""

    def __init__(self, settings: ReadSettings) -> None:
        self._settings = settings

    def process(self, split: Split) -> Iterator[Any]:
        try:
            for part in split.read(self._settings):
                if isinstance(part, DeadLetter):
                    yield from _count(part)
                else:
                    ROWS_READ.inc(len(part))
                    yield part
        except UnreadableError as error:
            yield from _dead_letter(split.source, error)


def _dead_letter(path: str, error: UnreadableError) -> Iterator[TaggedOutput]:
    yield from _count(DeadLetter(key=None, error=describe(error), source=path))


def _count(letter: DeadLetter) -> Iterator[TaggedOutput]:
    ROWS_READ.inc()
    DEAD_LETTERS.inc()
    yield TaggedOutput(_DEAD_LETTERS, letter)
