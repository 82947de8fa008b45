"""Image files, decoded by Pillow.

Grey images (and black-and-white ones) become arrays (H, W); 16 bits are cut to the upper 8. All
others become RGB arrays (H, W, 3): palettes, CMYK and other colour spaces are converted, an alpha
channel is dropped, and the EXIF orientation is not applied, as in torchvision's ImageFolder.
A split is a group of files; the key of an image is the path of its file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from template.blocks import IMAGE, KEY, Block, object_cells
from template.dead_letters import DeadLetter, describe
from template.sources.columns import check_passthrough, copy_images
from template.sources.streams import DAMAGE, ReadSettings, UnreadableError, open_stream

FILES_PER_SPLIT = 256
_MAX_BLOCK_BYTES = 64 << 20
# Pillow knows many more, and for some it starts other programs: Ghostscript for EPS.
_PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


@dataclass(frozen=True, kw_only=True)
class ImagesSplit:
    """A group of image files."""

    paths: tuple[str, ...]

    @property
    def source(self) -> str:
        """What the split holds, for dead letters."""
        return f"{self.paths[0]} to {self.paths[-1]}"

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the images in blocks, and a dead letter for each that does not decode."""
        keys: list[str] = []
        images: list[np.ndarray] = []
        size = 0
        for path in self.paths:
            try:
                check_passthrough((IMAGE,), settings.passthrough_columns)
                image = _read_image(path)
            except UnreadableError as error:
                yield DeadLetter(key=path, error=describe(error), source=path)
                continue
            keys.append(path)
            images.append(image)
            size += image.nbytes
            if len(images) == settings.batch_size or size >= _MAX_BLOCK_BYTES:
                yield _make_block(keys, images, settings)
                keys, images, size = [], [], 0
        if images:
            yield _make_block(keys, images, settings)


def split_images(paths: Sequence[str]) -> Iterator[ImagesSplit]:
    """Group the files."""
    for start in range(0, len(paths), FILES_PER_SPLIT):
        yield ImagesSplit(paths=tuple(paths[start : start + FILES_PER_SPLIT]))


def decode_image(data: bytes) -> np.ndarray:
    """Decode a PNG, JPEG, WebP, BMP, GIF or TIFF image to uint8, (H, W) or (H, W, 3).

    Raises:
        UnreadableError: it does not decode.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as image:
            return _to_grey_or_rgb(image)
    except UnidentifiedImageError:
        raise UnreadableError(
            f"not an image in one of the formats {', '.join(_PILLOW_FORMATS)}: it begins with "
            f"{data[:16]!r}"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # decoders of damaged bytes raise whatever comes
        raise UnreadableError(f"not a readable image: {describe(error)}") from error


def _to_grey_or_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16-bit PNG
        return (np.asarray(image).clip(0, 0xFFFF) >> 8).astype(np.uint8)
    if image.mode in ("1", "L", "LA"):
        return np.array(image.convert("L"))
    if "transparency" in image.info:  # Pillow wants a palette's transparency resolved first
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def _read_image(path: str) -> np.ndarray:
    with open_stream(path) as stream:
        try:
            data = stream.read()
        except DAMAGE as error:
            raise UnreadableError(f"the file is damaged: {error}") from error
    return decode_image(data)


def _make_block(keys: Sequence[str], images: Sequence[np.ndarray], settings: ReadSettings) -> Block:
    frame = pd.DataFrame({IMAGE: object_cells(images)})
    beside = {KEY: object_cells(keys), **copy_images(images, settings)}
    return Block(frame=frame, beside=beside, index=frame.index)
