"""Image files, decoded by Pillow: PNG, JPEG, WebP, BMP, GIF and TIFF.

Grey images (and black-and-white ones) become uint8 arrays (H, W); 16 bits are cut to the upper 8.
Grey images of 32 bits, of floats and of signed numbers keep their values and type. All others
become uint8 RGB arrays (H, W, 3): palettes, CMYK and other colour spaces are converted, an alpha
channel is dropped, and the EXIF orientation is not applied, as in torchvision's ImageFolder. Of
several frames or pages the first is read. A split is a group of files; the key of an image is the
path of its file.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pandas as pd
from PIL import Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from template.blocks import IMAGE, KEY, MAX_BLOCK_BYTES, Block, image_frame, object_cells
from template.dead_letters import DeadLetter, describe
from template.file_versions import FileVersion
from template.needs.fitting import fit_opened
from template.needs.image_format import AS_STORED, ImageFormat
from template.sources.columns import check_folder_columns, check_passthrough, copy_images
from template.sources.folders import folder_names
from template.sources.splits import SplitId
from template.sources.streams import (
    DAMAGE,
    ReadSettings,
    UnreadableError,
    is_gzip,
    open_stream,
)

FILES_PER_SPLIT = 256
# Pillow knows many more, and for some it starts other programs: Ghostscript for EPS.
_PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
_SIGNATURES = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF, and TIFF beyond 4 GB
)
_BMP_HEADER_BYTES = (12, 16, 40, 52, 56, 64, 108, 124)
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of colour
_MOST_DEFLATED = 1032  # bytes that a byte of zlib's becomes at most
_READ_BYTES = 1 << 20
_MAX_FILE_BYTES = 512 << 20
_STRIP_PIXELS = 4 << 20
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_UNSIGNED, _SIGNED = 1, 2  # sample formats of TIFF


@dataclass(frozen=True, kw_only=True)
class ImagesSplit:
    """A group of image files, whose folders give the same columns."""

    paths: tuple[str, ...]
    generation: str

    @property
    def id(self) -> SplitId:
        """Which files of which versions they are."""
        span = f"{len(self.paths)} files"
        return SplitId(path=self.paths[0], generation=self.generation, range=span)

    @property
    def path(self) -> str:
        """One of the files."""
        return self.paths[0]

    @property
    def source(self) -> str:
        """What the split holds, for dead letters."""
        return f"{self.paths[0]} to {self.paths[-1]}"

    def read(self, settings: ReadSettings) -> Iterator[Block | DeadLetter]:
        """Yield the images in blocks, and a dead letter for each that does not decode."""
        gathered = _Gathered(settings, len(self.paths))
        for path in self.paths:
            try:
                check_passthrough((IMAGE,), settings.passthrough_columns)
                check_folder_columns((IMAGE,), settings)
                file = _read_file(path)
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
        for start in range(0, len(similar), FILES_PER_SPLIT):
            group = similar[start : start + FILES_PER_SPLIT]
            digest = hashlib.sha256(repr([(file.path, file.generation) for file in group]).encode())
            yield ImagesSplit(
                paths=tuple(file.path for file in group), generation=digest.hexdigest()[:16]
            )


def is_image_file(data: bytes) -> bool:
    """Say whether bytes begin as an image file does that ``decode_image`` reads."""
    if data.startswith(b"BM"):  # two letters are too few to go by
        return len(data) >= 18 and int.from_bytes(data[14:18], "little") in _BMP_HEADER_BYTES
    if data.startswith(b"RIFF"):
        return data[8:12] == b"WEBP"
    return data.startswith(_SIGNATURES)


def decode_image(data: bytes, max_pixels: int, declared: ImageFormat = AS_STORED) -> np.ndarray:
    """Decode a PNG, JPEG, WebP, BMP, GIF or TIFF image, to (H, W) or (H, W, 3).

    Args:
        data: the file.
        max_pixels: width times height beyond which an image is refused undecoded.
        declared: the images that the model expects; one that is fitted is not to be written to.

    Raises:
        UnreadableError: it does not decode, or is larger.
    """
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels  # the job wants more than Pillow lets through
    try:
        with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as image:
            _check_image(image, data, max_pixels)
            if declared.is_declared:
                return fit_opened(image, declared, _to_array)
            return _to_array(image)
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        raise UnreadableError(
            f"not an image in one of the formats {', '.join(_PILLOW_FORMATS)}: it begins with "
            f"{data[:16]!r}"
        ) from None
    except Image.DecompressionBombError as error:
        raise UnreadableError(f"more than max_image_pixels ({max_pixels}): {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders of damaged bytes raise whatever comes
        raise UnreadableError(f"not a readable image: {describe(error)}") from error


def _check_png(data: bytes) -> int:
    """Check what Pillow does not: the checksums of a PNG's critical chunks; return its data's size.

    Raises:
        UnreadableError: one is wrong. A chunk that is cut off is left to the decoder.
    """
    packed = 0
    view = memoryview(data)
    start = len(_PNG_SIGNATURE)
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(view[start : start + 4])
        name = bytes(view[start + 4 : start + 8])
        is_critical = name[:1].isupper()
        if is_critical and end + 4 <= len(data):
            checksum = int.from_bytes(view[end : end + 4])
            if zlib.crc32(view[start + 4 : end]) != checksum:
                raise UnreadableError(f"the image is damaged: wrong checksum of its chunk {name!r}")
        packed += len(view[start + 8 : end]) if name == b"IDAT" else 0
        if name == b"IEND":
            break
        start = end + 4
    return packed


def _check_image(image: Image.Image, data: bytes, max_pixels: int) -> None:
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise UnreadableError(
            f"more than max_image_pixels ({max_pixels}): {image.width} x {image.height} = {pixels}"
        )
    if isinstance(image, PngImagePlugin.PngImageFile):
        # Pillow leaves black what the data do not reach.
        packed = _check_png(data)
        depth, colour = data[24:26]
        size = image.height * (image.width * depth * _PNG_CHANNELS.get(colour, 1) // 8)
        if size > (packed + 1) * _MOST_DEFLATED:
            raise UnreadableError(f"the image is damaged: {packed} bytes are not {pixels} pixels")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Pillow leaves black what no strip or tile of a TIFF is there for.
        boxes = [tile.extents or (0, 0, *image.size) for tile in image.tile]
        covered = sum((right - left) * (low - top) for left, top, right, low in boxes)
        if covered < pixels:
            raise UnreadableError(
                f"the image is damaged: {covered} of its {pixels} pixels are there"
            )


def _to_array(image: Image.Image) -> np.ndarray:
    """Convert a large image in strips: Pillow and numpy would hold several copies of it."""
    width, height = image.size
    if width * height <= _STRIP_PIXELS:
        return _to_grey_or_rgb(image)
    rows = max(1, _STRIP_PIXELS // width)
    array: np.ndarray | None = None
    for top in range(0, height, rows):
        strip = _to_grey_or_rgb(image, (0, top, width, min(top + rows, height)))
        if array is None:
            array = np.empty((height, *strip.shape[1:]), strip.dtype)
        array[top : top + len(strip)] = strip
    assert array is not None
    return array


def _to_grey_or_rgb(image: Image.Image, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
    mode, info = image.mode, image.info
    part = image if box is None else image.crop(box)
    if mode == "RGB":
        return np.array(part)
    if mode in ("1", "L", "LA"):
        grey = np.array(part if mode == "L" else part.convert("L"))
        return grey.view(np.int8) if _tag(image, _SAMPLE_FORMAT, _UNSIGNED) == _SIGNED else grey
    if mode.startswith("I;16"):
        return _cut_to_8_bits(np.array(part).astype(np.uint16), image)
    if mode == "I":  # 32 bits, or 16 bits with a sign; Pillow reads those without a sign as such
        integers = np.array(part)
        is_unsigned = _tag(image, _SAMPLE_FORMAT, _UNSIGNED) == _UNSIGNED
        return integers.view(np.uint32) if is_unsigned else integers
    if mode == "F":
        return np.array(part)
    if "transparency" in info:  # Pillow wants a palette's transparency resolved first
        part = part.convert("RGBA")
    return np.array(part.convert("RGB"))


def _cut_to_8_bits(values: np.ndarray, image: Image.Image) -> np.ndarray:
    bits = _tag(image, _BITS_PER_SAMPLE, 16)
    if _tag(image, _PHOTOMETRIC, 1) == 0:  # white is 0: Pillow inverts 8 bits, but not 16
        values = np.uint16(2**bits - 1) - values
    return (values >> (bits - 8)).astype(np.uint8)


def _tag(image: Image.Image, tag: int, default: int) -> int:
    """Return a number that a TIFF file says of its first sample; the default for other files."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return default
    value = image.tag_v2.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


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
    """Images that become a block; those that are declared are in one array from the start."""

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
        """Whether no further image has room."""
        most = self._settings.batch_size if self._fitted is None else len(self._fitted)
        return len(self.keys) == most or self._size >= MAX_BLOCK_BYTES

    def make_block(self) -> Block:
        """Return the block."""
        settings = self._settings
        images = self._images if self._fitted is None else self._fitted[: len(self.keys)]
        frame = image_frame(images)
        return Block(
            frame=frame,
            beside={KEY: object_cells(self.keys), **copy_images(images, settings)},
            index=frame.index,
            origin=_ImageFiles(tuple(self._files), settings.max_image_pixels, settings.images),
        )


@dataclass(frozen=True)
class _ImageFiles:
    """Images as their files or, if that is less, as their pixels, which nobody changes."""

    files: tuple[bytes | np.ndarray, ...]
    max_pixels: int
    declared: ImageFormat

    def __call__(self) -> pd.DataFrame:
        images = [
            decode_image(file, self.max_pixels, self.declared) if isinstance(file, bytes) else file
            for file in self.files
        ]
        return image_frame(np.stack(images) if self.declared.is_declared else images)
