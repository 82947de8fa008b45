"""ReadBlocks: files of a pattern -> splits of them -> blocks of rows.

Only names and ranges are reshuffled, so that many workers share the reading; the data itself goes
from file to model within one worker. Memory is bounded by a split, not by a file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, cast

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput

from template.blocks import SPLIT, Block, SplitOrigin
from template.dead_letters import (
    ROWS_FOUND,
    ROWS_READ,
    UNCOUNTED_FILES,
    UNREAD_FILES,
    DeadLetter,
    count_dead_letter,
    describe,
)
from template.file_versions import FileVersion
from template.needs.columns import Column, ColumnType
from template.needs.image_format import AS_STORED, ImageFormat
from template.parameters import MAX_IMAGE_PIXELS
from template.sources.csv import split_csv
from template.sources.find import AUTO, find_files, find_folder
from template.sources.folders import (
    add_folder_columns,
    folder_names,
    without_folder_columns,
)
from template.sources.formats import Format, find_format
from template.sources.idx import split_idx
from template.sources.images import split_images
from template.sources.inputs import InputFiles
from template.sources.joining import JoinedBlocks
from template.sources.jsonl import split_jsonl
from template.sources.parquet import split_parquet
from template.sources.small_files import (
    FEWEST_FILES,
    SmallFilesSplit,
    group_small_files,
    is_small,
)
from template.sources.splits import WHOLE, Split, Splitter
from template.sources.streams import ReadSettings, UnreadableError

_DEAD_LETTERS = "dead_letters"  # also in the output types below
_INPUTS = "inputs"


_SPLITTERS: Mapping[Format, Splitter] = MappingProxyType(
    {
        Format.IDX: split_idx,
        Format.CSV: split_csv,
        Format.JSONL: split_jsonl,
        Format.PARQUET: split_parquet,
    }
)


class ReadBlocks(beam.PTransform):
    """Reads the files of a pattern; the result is ``(blocks, dead_letters, input_files)``.

    Args:
        pattern: file or file pattern of any Beam filesystem.
        input_format: a ``Format``, or "auto" to decide by each file's name.
        batch_size: largest number of rows of a block.
        key_column: column of tables that holds the keys; without it the keys are ``<file name>#<row
            number from 0>``, where the name includes folders that wildcards match:
            ``day=1/part-0.csv``. The key of an image file is its path.
        passthrough_columns: columns that travel unchanged beside the frame. A file (or a JSON
            row) that lacks one is a dead letter.
        max_image_pixels: width times height beyond which an image is a dead letter.
        csv_delimiter: the character that separates CSV fields; if it is None, each file's first
            records decide.
        column_types: "text" or "number", for folders and for CSV columns, whose first values then
            do not decide. A file that lacks one, or is not CSV, is a dead letter.
        columns: those that the model expects; without them it gets the input's columns. A file or
            JSON row that lacks one is a dead letter. ``column_types`` take precedence over
            them.
        images: those that the model expects; without them images are read as they are stored.
        max_rows: read only the first rows, this many, in one step of one worker.
    """

    def __init__(
        self,
        pattern: str,
        *,
        input_format: str = AUTO,
        batch_size: int,
        key_column: str | None = None,
        passthrough_columns: tuple[str, ...] = (),
        max_image_pixels: int = MAX_IMAGE_PIXELS,
        csv_delimiter: str | None = None,
        column_types: Mapping[str, str] = MappingProxyType({}),
        columns: Sequence[Column] = (),
        images: ImageFormat = AS_STORED,
        max_rows: int | None = None,
    ) -> None:
        super().__init__()
        self._pattern = pattern
        self._input_format = input_format
        self._settings = ReadSettings(
            batch_size=batch_size if max_rows is None else min(batch_size, max_rows),
            key_column=key_column,
            passthrough_columns=passthrough_columns,
            max_image_pixels=max_image_pixels,
            folder=find_folder(pattern),
            csv_delimiter=csv_delimiter,
            column_types=dict(column_types),
            columns=tuple(
                replace(column, type=cast(ColumnType, column_types.get(column.name, column.type)))
                for column in columns
            ),
            images=images,
            max_rows=max_rows,
        )

    def read_first(self, files: Sequence[FileVersion], rows: int) -> Iterator[Block | DeadLetter]:
        """Yield the first rows of files in this process; a dead letter counts as one."""
        settings = replace(self._settings, max_rows=rows)  # no later row shares their blocks
        find = _FindFiles(self._pattern, self._input_format, settings)
        for part in _ReadFirst(find, settings, rows).read(find.sort(files)):
            yield part.value if isinstance(part, TaggedOutput) else part

    def expand(self, pbegin: PBegin) -> tuple[PCollection, PCollection, PCollection[InputFiles]]:
        """Find, split and read."""
        find = _FindFiles(self._pattern, self._input_format, self._settings)
        start = pbegin | "Start" >> beam.Impulse()
        if self._settings.max_rows is not None:
            read = _ReadFirst(find, self._settings, self._settings.max_rows)
            first = start | "ReadFirst" >> beam.ParDo(read).with_outputs(
                _DEAD_LETTERS, _INPUTS, main="main"
            )
            return first["main"], first[_DEAD_LETTERS], first[_INPUTS]
        found = start | "FindFiles" >> beam.ParDo(find).with_outputs(
            _DEAD_LETTERS, _INPUTS, main="main"
        )
        splits, unsplit = (
            found["main"]
            | "SpreadFiles" >> beam.Reshuffle()
            | "SplitFiles" >> _parted(_SplitFile(self._settings))
        )
        blocks, unread = (
            splits
            | "SpreadSplits" >> beam.Reshuffle()
            | "ReadSplits" >> _parted(_ReadSplit(self._settings))
        )
        dead_letters = (found[_DEAD_LETTERS], unsplit, unread) | "DeadLetters" >> beam.Flatten()
        return blocks, dead_letters, found[_INPUTS]


@dataclass(frozen=True, kw_only=True)
class _FormattedFile:
    file: FileVersion
    format: Format
    is_only: bool


def _parted(fn: beam.DoFn) -> Any:
    return beam.ParDo(fn).with_outputs(_DEAD_LETTERS, main="main")


@dataclass(frozen=True, kw_only=True)
class _CountedSplit:
    """A split; ``is_only``: the job has no other."""

    split: Split | SmallFilesSplit
    is_only: bool


class _FindFiles(beam.DoFn):
    """Pattern -> files with their format; image files in groups, as splits."""

    def __init__(self, pattern: str, input_format: str, settings: ReadSettings) -> None:
        self._pattern = pattern
        self._input_format = input_format
        self._settings = settings

    def process(self, _: bytes) -> Iterator[Any]:
        files = find_files(self._pattern)
        yield TaggedOutput(_INPUTS, InputFiles.of(files))
        yield from self.sort(files)

    def sort(self, files: Sequence[FileVersion]) -> Iterator[Any]:
        """Yield files with their format, and groups of images and of small files."""
        images = []
        small: dict[Format, list[FileVersion]] = defaultdict(list)
        for file in files:
            format_ = (
                find_format(file.path) if self._input_format == AUTO else Format(self._input_format)
            )
            if format_ is None:
                error = UnreadableError("its name has no known format: pass --input_format")
                yield from _unread_file(file.path, error)
            elif format_ is not Format.CSV and (
                names := self._settings.column_types.keys()
                - folder_names(file.path, self._settings)
            ):
                error = UnreadableError(
                    f"column_types names {min(names)!r}, but a {format_.value} file has its own "
                    "types: it only decides those of CSV's columns and of folders"
                )
                yield from _unread_file(file.path, error)
            elif format_ is Format.IMAGES:
                images.append(file)
            elif is_small(file, format_):
                small[format_].append(file)
            else:
                yield _FormattedFile(file=file, format=format_, is_only=len(files) == 1)
        for format_, alike in small.items():
            if len(alike) >= FEWEST_FILES:
                groups = group_small_files(alike, format_)
                yield from _count_splits(groups, is_only=len(alike) == len(files))
                continue
            for file in alike:
                yield _FormattedFile(file=file, format=format_, is_only=len(files) == 1)
        yield from _count_splits(
            split_images(images, self._settings), is_only=len(images) == len(files)
        )


class _SplitFile(beam.DoFn):
    """File -> splits."""

    def __init__(self, settings: ReadSettings) -> None:
        self._settings = settings

    def process(self, element: _FormattedFile | _CountedSplit) -> Iterator[Any]:
        if isinstance(element, _CountedSplit):
            _note_found(element.split)
            yield element
            return
        try:
            settings = without_folder_columns(element.file.path, self._settings)
            parts = _SPLITTERS[element.format](element.file, settings)
            for part in _count_splits(parts, is_only=element.is_only):
                if isinstance(part, DeadLetter):
                    ROWS_FOUND.inc()
                    yield from _count(part)
                else:
                    _note_found(part.split)
                    yield part
        except UnreadableError as error:
            yield from _unread_file(element.file.path, error)


@beam.typehints.with_output_types(Block, dead_letters=DeadLetter)
class _ReadSplit(beam.DoFn):
    """Split -> blocks."""

    def __init__(self, settings: ReadSettings) -> None:
        self._settings = settings

    def process(self, element: _CountedSplit) -> Iterator[Any]:
        origin = SplitOrigin(element.split.id, element.is_only)
        if not isinstance(element.split, SmallFilesSplit):
            yield from self._read(element.split, origin)
            return
        joined = JoinedBlocks(self._settings.batch_size)
        for file in element.split.open():
            for part in self._read(file, origin):
                if isinstance(part, TaggedOutput):
                    yield part
                else:
                    yield from joined.add(part)
        yield from joined.close()

    def _read(self, split: Split, origin: SplitOrigin) -> Iterator[Any]:
        is_untouched = split.id.range == WHOLE
        try:
            for part in split.read(without_folder_columns(split.path, self._settings)):
                is_untouched = False
                if isinstance(part, DeadLetter):
                    yield from _count(part)
                else:
                    ROWS_READ.inc(len(part))
                    block = replace(part, attrs={**part.attrs, SPLIT: origin})
                    yield add_folder_columns(block, self._settings)
        except UnreadableError as error:
            if is_untouched:
                yield from _unread_file(split.path, error)
            else:
                yield from _count(DeadLetter(key=None, error=describe(error), source=split.source))


@beam.typehints.with_output_types(Block, dead_letters=DeadLetter, inputs=InputFiles)
class _ReadFirst(beam.DoFn):
    """All steps as one, which ends after a number of rows; a dead letter counts as one."""

    def __init__(self, find: _FindFiles, settings: ReadSettings, max_rows: int) -> None:
        self._find = find
        self._split = _SplitFile(settings)
        self._read = _ReadSplit(settings)
        self._max_rows = max_rows

    def process(self, element: bytes) -> Iterator[Any]:
        yield from self.read(self._find.process(element))

    def read(self, found: Iterator[Any]) -> Iterator[Any]:
        """Yield the first rows of what was found."""
        left = self._max_rows
        for part in self._read_all(found):
            if not isinstance(part, TaggedOutput):
                block = part.take(0, min(left, len(part)))
                left -= len(block)
                yield block
            else:
                left -= part.tag == _DEAD_LETTERS
                yield part
            if not left:
                return

    def _read_all(self, found: Iterator[Any]) -> Iterator[Any]:
        for each in found:
            if isinstance(each, TaggedOutput):
                yield each
                continue
            for split in self._split.process(each):
                if isinstance(split, TaggedOutput):
                    yield split
                else:
                    yield from self._read.process(split)


def _note_found(split: Split | SmallFilesSplit) -> None:
    if isinstance(split, SmallFilesSplit):
        UNCOUNTED_FILES.inc(len(split.files))
    elif split.rows is None:
        UNCOUNTED_FILES.inc()
    else:
        ROWS_FOUND.inc(split.rows)


def _count_splits(
    parts: Iterator[Split | SmallFilesSplit | DeadLetter], *, is_only: bool
) -> Iterator[_CountedSplit | DeadLetter]:
    """Mark the split of a job's only file, or of its images, if it is the only split.

    The first is held back until there is a second.
    """
    first: Split | SmallFilesSplit | None = None
    try:
        for part in parts:
            if isinstance(part, DeadLetter):
                yield part
                continue
            if is_only and first is None:
                first = part
                continue
            is_only = False
            if first is not None:
                yield _CountedSplit(split=first, is_only=False)
                first = None
            yield _CountedSplit(split=part, is_only=False)
    except UnreadableError:
        if first is not None:
            yield _CountedSplit(split=first, is_only=is_only)
        raise
    if first is not None:
        yield _CountedSplit(split=first, is_only=is_only)


def _unread_file(path: str, error: UnreadableError) -> Iterator[TaggedOutput]:
    letter = DeadLetter(key=None, error=describe(error), source=path, is_unread_file=True)
    yield from _count(letter)


def _count(letter: DeadLetter) -> Iterator[TaggedOutput]:
    ROWS_READ.inc()
    count_dead_letter(letter.error)
    UNREAD_FILES.inc(letter.is_unread_file)
    yield TaggedOutput(_DEAD_LETTERS, letter)
