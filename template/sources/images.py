"""Image files: a split is a group of them; the key of an image is the path of its file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pandas as pd

from template.blocks import IMAGE, KEY, MAX_BLOCK_BYTES, Block, image_frame, object_cells
from template.dead_letters import DeadLetter, describe
from template.file_versions import FileVersion
from template.needs.image_format import ImageFormat
from template.sources.columns import check_folder_columns, check_passthrough, copy_images
from template.sources.declared_rows import check_image_column, complete_images
from template.sources.folders import folder_names
from template.sources.pixels import decode_image
from template.sources.read_ahead import read_ahead
from template.sources.splits import SplitId, cut_evenly, digest_versions
from template.sources.streams import (
    DAMAGE,
    ReadSettings,
    UnreadableError,
    is_gzip,
    open_stream,
)

_READ_BYTES = 1 << 20
_MAX_FILE_BYTES = 512 << 20


@dataclass(frozen=True, kw_only=True)
class ImagesSplit:
    """A group of image files, whose folders give the same columns."""

    paths: tuple[str, ...]
    sizes: tuple[int, ...]
    generation: str

    @property
    def id(self) -> SplitId:
        """The files and their versions."""
        span = f"{len(self.paths)} files"
        return SplitId(path=self.paths[0], generation=self.generation, range=span)

    @property
    def path(self) -> str:
        """One of the files."""
        return self.paths[0]

    @property
    def rows(self) -> int:
        """The number of its images."""
        return len(self.paths)

    @property
    def source(self) -> str:
        """The split's content, for dead letters."""
        return f"{self.paths[0]} to {self.paths[-1]}"

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the images in blocks, and a dead letter for each that does not decode."""
        gathered = _Gathered(settings, len(self.paths))
        files = read_ahead(self.paths, self.sizes, _read_file)
        for path, read_file in zip(self.paths, files, strict=True):
            try:
                check_image_column(settings)
                check_passthrough((IMAGE,), settings.passthrough_columns)
                check_folder_columns((IMAGE,), settings)
                file = read_file()
                image = decode_image(file, settings.max_image_pixels, settings.images)
            except UnreadableError as error:
                yield DeadLetter(key=path, error=describe(error), source=path)
                continue
            gathered.add(path, file, image)
            if gathered.is_complete:
                yield gathered.make_block()
                gathered = _Gathered(settings, len(self.paths))
        if gathered.keys:
            yield gathered.make_block()


def split_images(files: Sequence[FileVersion], settings: ReadSettings) -> Iterator[ImagesSplit]:
    """Group the files."""
    alike: dict[tuple[str, ...], list[FileVersion]] = defaultdict(list)
    for file in files:
        alike[folder_names(file.path, settings)].append(file)
    for similar in alike.values():
        for group in cut_evenly(similar):
            yield ImagesSplit(
                paths=tuple(file.path for file in group),
                sizes=tuple(file.size for file in group),
                generation=digest_versions(group),
            )


def _read_file(path: str) -> bytes:
    with open_stream(path) as stream:
        try:
            return _read_up_to_limit(stream) if is_gzip(stream) else stream.read()
        except DAMAGE as error:
            raise UnreadableError(f"the file is damaged: {error}") from error


def _read_up_to_limit(stream: BinaryIO) -> bytes:
    data = bytearray()
    while chunk := stream.read(_READ_BYTES):
        data += chunk
        if len(data) > _MAX_FILE_BYTES:
            raise UnreadableError(f"it decompresses to more than {_MAX_FILE_BYTES >> 20} MiB")
    return bytes(data)


class _Gathered:
    """Images that become a block; declared ones are in one array from the start."""

    def __init__(self, settings: ReadSettings, most: int) -> None:
        self._settings = settings
        self.keys: list[str] = []
        self._files: list[bytes | np.ndarray] = []
        self._images: list[np.ndarray] = []
        self._size = 0
        self._fitted: np.ndarray | None = None
        if settings.images.is_declared:
            images = settings.images
            most = min(most, settings.batch_size, max(1, MAX_BLOCK_BYTES // images.image_bytes))
            self._fitted = np.empty((most, *images.shape), np.uint8)

    def add(self, key: str, file: bytes, image: np.ndarray) -> None:
        """Add an image."""
        kept: bytes | np.ndarray = file
        if self._fitted is not None:
            self._fitted[len(self.keys)] = image
            kept = file if len(file) <= image.nbytes else image
        else:
            self._images.append(image)
        self.keys.append(key)
        self._files.append(kept)
        self._size += max(image.nbytes, len(kept))

    @property
    def is_complete(self) -> bool:
        """Whether there is no room for another image."""
        most = self._settings.batch_size if self._fitted is None else len(self._fitted)
        return len(self.keys) == most or self._size >= MAX_BLOCK_BYTES

    def make_block(self) -> Block:
        """Return the block."""
        settings = self._settings
        images = self._images if self._fitted is None else self._fitted[: len(self.keys)]
        frame = complete_images(image_frame(images), settings)
        return Block(
            frame=frame,
            beside={KEY: object_cells(self.keys), **copy_images(images, settings)},
            index=frame.index,
            origin=_ImageFiles(tuple(self._files), settings.max_image_pixels, settings.images),
            is_typed=bool(settings.columns),
        )


@dataclass(frozen=True)
class _ImageFiles:
    """Images as files or, if smaller, as read-only pixels."""

    files: tuple[bytes | np.ndarray, ...]
    max_pixels: int
    declared: ImageFormat

    def __call__(self) -> pd.DataFrame:
        images = [
            decode_image(file, self.max_pixels, self.declared) if isinstance(file, bytes) else file
            for file in self.files
        ]
        return image_frame(np.stack(images) if self.declared.is_declared else images)
