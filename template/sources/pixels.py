"""The pixels of an image file, as Pillow decodes it: PNG, JPEG, WebP, BMP, GIF and TIFF.

Grey images (and black-and-white ones) become uint8 arrays (H, W); 16 bits are reduced to the upper
8. Grey images of 32 bits, of floats and of signed numbers keep their values and type. All others
become uint8 RGB arrays (H, W, 3): palettes, CMYK and other colour spaces are converted, an alpha
channel is dropped, and the EXIF orientation is not applied, as in torchvision's ImageFolder. Only
the first of several frames or pages is read. A model may declare other images.
"""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from template.dead_letters import describe
from template.needs.fitting import fit_opened
from template.needs.image_format import AS_STORED, ImageFormat
from template.needs.jpeg import decode_colour_jpeg
from template.sources.streams import UnreadableError

# Pillow has many more, and for some it starts other programs, such as Ghostscript for EPS.
_PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
_SIGNATURES = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF, and TIFF beyond 4 GB
)
_BMP_HEADER_BYTES = (12, 16, 40, 52, 56, 64, 108, 124)
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of colour
_MOST_DEFLATED = 1032  # the most bytes that one compressed byte of zlib becomes
_STRIP_PIXELS = 4 << 20
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_UNSIGNED, _SIGNED = 1, 2  # sample formats of TIFF


def is_image_file(data: bytes) -> bool:
    """Return whether bytes begin like an image file that ``decode_image`` reads."""
    if data.startswith(b"BM"):  # two letters are not enough to decide
        return len(data) >= 18 and int.from_bytes(data[14:18], "little") in _BMP_HEADER_BYTES
    if data.startswith(b"RIFF"):
        return data[8:12] == b"WEBP"
    return data.startswith(_SIGNATURES)


def decode_image(data: bytes, max_pixels: int, declared: ImageFormat = AS_STORED) -> np.ndarray:
    """Decode a PNG, JPEG, WebP, BMP, GIF or TIFF image, to (H, W) or (H, W, 3).

    Args:
        data: the file.
        max_pixels: width times height beyond which an image is refused undecoded.
        declared: the images that the model expects; a fitted image is read-only.

    Raises:
        UnreadableError: it does not decode, or is larger.
    """
    if not data:
        raise UnreadableError("not an image: it is empty")
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels  # the job allows more than Pillow's limit
    try:
        with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as image:
            _check_image(image, data, max_pixels)
            if declared.is_declared:
                return fit_opened(image, data, declared, _to_array)
            colour = decode_colour_jpeg(image, data)
            return _to_array(image) if colour is None else colour
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
    except Exception as error:  # decoders may raise anything for damaged bytes
        raise UnreadableError(f"not a readable image: {describe(error)}") from error


def _check_png(data: bytes) -> int:
    """Check the checksums of a PNG's critical chunks, which Pillow does not; return its data's
    size.

    Raises:
        UnreadableError: one is wrong. The decoder handles an incomplete chunk.
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
        # Pillow leaves pixels black that the data does not reach.
        packed = _check_png(data)
        depth, colour = data[24:26]
        size = image.height * (image.width * depth * _PNG_CHANNELS.get(colour, 1) // 8)
        if size > (packed + 1) * _MOST_DEFLATED:
            raise UnreadableError(f"the image is damaged: {packed} bytes are not {pixels} pixels")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Pillow leaves pixels black that no strip or tile of a TIFF covers.
        boxes = [tile.extents or (0, 0, *image.size) for tile in image.tile]
        covered = sum((right - left) * (low - top) for left, top, right, low in boxes)
        if covered < pixels:
            raise UnreadableError(
                f"the image is damaged: {covered} of its {pixels} pixels are there"
            )


def _to_array(image: Image.Image) -> np.ndarray:
    """Convert a large image in strips, because Pillow and numpy would hold several copies of it."""
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
    if "transparency" in info:  # Pillow requires a palette's transparency to be resolved first
        part = part.convert("RGBA")
    return np.array(part.convert("RGB"))


def _cut_to_8_bits(values: np.ndarray, image: Image.Image) -> np.ndarray:
    bits = _tag(image, _BITS_PER_SAMPLE, 16)
    if _tag(image, _PHOTOMETRIC, 1) == 0:  # white is 0: Pillow inverts 8 bits, but not 16
        values = np.uint16(2**bits - 1) - values
    return (values >> (bits - 8)).astype(np.uint8)


def _tag(image: Image.Image, tag: int, default: int) -> int:
    """Return a TIFF file's number for its first sample; the default for other files."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return default
    value = image.tag_v2.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)
