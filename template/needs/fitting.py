"""Fit images of any size and kind to a model's declaration, by Pillow or torch."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin, TiffImagePlugin

from template.needs.image_format import ImageFormat
from template.needs.jpeg import decode_colour_jpeg
from template.parameters import MAX_IMAGE_PIXELS

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation, as in Pillow's ``ImageOps.exif_transpose``."""
_SAMPLE_FORMAT, _SIGNED = 339, 2  # a TIFF tag, and its value for signed numbers
_LYING = frozenset({5, 6, 7, 8})
_8_BIT_MODES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"}) | {
    *("CMYK", "YCbCr", "HSV", "LAB"),
}


def fit_opened(
    image: Image.Image,
    file: bytes,
    declared: ImageFormat,
    read_grey: Callable[[Image.Image], np.ndarray],
) -> np.ndarray:
    """Decode and fit an open image.

    Args:
        image: a file that Pillow has opened and not loaded.
        file: its content.
        declared: the images that a model expects.
        read_grey: returns the pixels (height, width) of an image without 8 bits a channel.

    Returns:
        uint8, of the declared shape; read-only.

    Raises:
        ValueError: the pixels are not 8 bits, nor reduced to 8; or as ``find_resized``.
    """
    turn = _find_turn(image) if declared.orientation == "upright" else None
    lies = turn in _LYING
    width, height = image.size
    wanted = find_resized((height, width) if lies else (width, height), declared)
    box = None
    if declared.scaled_decoding:
        drafted = image.draft(declared.mode, wanted[::-1] if lies else wanted)
        if drafted and turn is None and image.size != (width, height):
            # The last column or row of a scaled image may represent fewer pixels than the others.
            box = drafted[1]
    if declared.resizer == "torch" and declared.mode == "RGB" and turn is None and box is None:
        pixels = decode_colour_jpeg(image, file)
        if pixels is not None:
            return _cut_or_pad(_resize_with_torch(pixels, wanted, declared), declared)
    if image.mode not in _8_BIT_MODES or _has_sign(image):
        image = Image.fromarray(_to_bytes(read_grey(image)))
    if turn is not None:
        image = image.transpose(_TURNS[turn])
    return _fit(_convert(image, declared.mode), declared, wanted, box)


def _find_turn(image: Image.Image) -> int | None:
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        image.load()  # in PNG it may follow the pixels; Pillow rotates a TIFF when it loads it
    turn = image.getexif().get(ExifTags.Base.Orientation)
    return turn if turn in _TURNS else None


def _has_sign(image: Image.Image) -> bool:
    """Return whether the 8 bits are signed, which Pillow does not distinguish."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    sample_format = image.tag_v2.get(_SAMPLE_FORMAT, 1)
    first = sample_format[0] if isinstance(sample_format, tuple) else sample_format
    return bool(first == _SIGNED)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    if (
        "transparency" in image.info
    ):  # Pillow requires a palette's transparency to be resolved first
        image = image.convert("RGBA")
    return image.convert(mode)


def fit_array(array: np.ndarray, declared: ImageFormat) -> np.ndarray:
    """Fit an array of pixels to a model's declaration.

    Args:
        array: whole numbers from 0 to 255 of any type: (height, width), (height, width, 1),
            (height, width, 3), or one-dimensional with as many values as a declared image has.
        declared: the images that a model expects.

    Raises:
        ValueError: it has another shape or other values; or as ``find_resized``.
    """
    shape = declared.shape
    if array.ndim == 1 and array.size == np.prod(shape):
        array = array.reshape(shape)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or not array.size:
        raise ValueError(
            f"image of shape {array.shape}: not (height, width), (height, width, 3), or "
            f"{np.prod(shape)} values, of which the model's {_describe(declared)} are made"
        )
    array = _to_bytes(array)
    if array.shape == shape:
        return array
    image = Image.fromarray(np.ascontiguousarray(array))
    return _fit(_convert(image, declared.mode), declared, find_resized(image.size, declared))


def find_resized(size: tuple[int, int], declared: ImageFormat) -> tuple[int, int]:
    """Return the (width, height) that an image of ``size`` gets before it is cropped or padded.

    Raises:
        ValueError: it is so narrow that nearly all of a huge image would be cut off.
    """
    resized = _find_resized(size, declared)
    if math.prod(resized) > MAX_IMAGE_PIXELS:
        raise ValueError(
            f"an image of {size[0]} x {size[1]} pixels would be resized to {resized[0]} x "
            f"{resized[1]} before it is cropped, more than {MAX_IMAGE_PIXELS} pixels; "
            "fit='pad' keeps it small"
        )
    return resized


def _find_resized(size: tuple[int, int], declared: ImageFormat) -> tuple[int, int]:
    width, height = size
    tall, wide = declared.sides
    if declared.fit == "stretch":
        return wide, tall
    if declared.fit == "pad":  # as ImageOps.contain
        if width * tall > height * wide:
            return wide, max(1, round(height / width * wide))
        return max(1, round(width / height * tall)), tall
    if declared.shorter_side is not None:
        if width <= height:
            return declared.shorter_side, int(declared.shorter_side * height / width)
        return int(declared.shorter_side * width / height), declared.shorter_side
    if width * tall <= height * wide:
        return wide, max(tall, int(wide * height / width))
    return max(wide, int(tall * width / height)), tall


def _fit(
    image: Image.Image,
    declared: ImageFormat,
    wanted: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    if declared.resizer == "torch" and box is None:
        return _cut_or_pad(_resize_with_torch(np.array(image), wanted, declared), declared)
    if image.size != wanted or (box is not None and box != (0, 0, *wanted)):
        resampling = Image.Resampling[declared.filter.upper()]
        image = image.resize(wanted, resampling, box=box)
    if declared.fit == "crop" and wanted != declared.sides[::-1]:
        image = image.crop(_find_centre(wanted, declared))  # before numpy copies what is cut off
    return _cut_or_pad(np.asarray(image), declared)


def _resize_with_torch(
    pixels: np.ndarray, size: tuple[int, int], declared: ImageFormat
) -> np.ndarray:
    """Resize as torchvision's ``Resize`` resizes a tensor of uint8."""
    import torch

    wide, tall = size
    if pixels.shape[:2] == (tall, wide):
        return pixels
    images = torch.from_numpy(np.atleast_3d(pixels)).unsqueeze(0).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(
        images, size=(tall, wide), mode=declared.filter, antialias=True
    )
    array: np.ndarray = resized.permute(0, 2, 3, 1).numpy()
    return array.reshape(tall, wide, *pixels.shape[2:])


def _cut_or_pad(pixels: np.ndarray, declared: ImageFormat) -> np.ndarray:
    """Return the centre of resized pixels, or all of them on a ground of ``fill``; read-only."""
    (tall, wide), (height, width) = declared.sides, pixels.shape[:2]
    if declared.fit == "crop" and (height, width) != (tall, wide):
        left, top, right, low = _find_centre((width, height), declared)
        pixels = pixels[top:low, left:right].copy()  # a view would hold all of the resized image
    elif declared.fit == "pad":
        # As Pillow's ImageOps.pad.
        left, top = round((wide - width) * 0.5), round((tall - height) * 0.5)
        ground = np.full(declared.shape, declared.fill, np.uint8)
        ground[top : top + height, left : left + width] = pixels
        pixels = ground
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False
    return pixels


def _find_centre(size: tuple[int, int], declared: ImageFormat) -> tuple[int, int, int, int]:
    """Return what torchvision's ``CenterCrop`` keeps: left, top, right, lower side."""
    (width, height), (tall, wide) = size, declared.sides
    left, top = round((width - wide) / 2.0), round((height - tall) / 2.0)
    return left, top, left + wide, top + tall


def _to_bytes(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "uif":
        raise ValueError(f"pixels of type {array.dtype}: not numbers")
    with np.errstate(invalid="ignore"):
        pixels = array.astype(np.uint8)
    if not (pixels == array).all():
        raise ValueError(f"pixels of type {array.dtype}: one is not a whole number from 0 to 255")
    return pixels


def _describe(declared: ImageFormat) -> str:
    tall, wide = declared.sides
    return f"{tall} x {wide} {'grey' if declared.mode == 'L' else 'RGB'} images"
