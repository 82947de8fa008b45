"""Images in JSON and in messages: lists of pixels, base64, files, raw pixels."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import numpy as np

from template.needs.fitting import fit_array
from template.needs.image_format import ImageFormat
from template.sources.kinds import LARGEST_EXACT
from template.sources.pixels import decode_image, is_image_file

_OTHER_FILES: Mapping[bytes, str] = MappingProxyType(
    {
        b"\x1f\x8b": "gzip",
        b"PK\x03\x04": "ZIP",
        b"%PDF": "PDF",
        b"8BPS": "Photoshop",
        b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
        b"\xffO\xffQ": "JPEG 2000",
        b"\x93NUMPY": "NumPy",
        b"<?xml": "XML",
        b"<svg": "SVG",
        b"\xff\xfe": "UTF-16",
        b"\xfe\xff": "UTF-16",
    }
)
_SHOWN_BYTES = 16


class UndecodableError(ValueError):
    """A message has the wrong content; the error describes it."""


def read_image(value: Any, images: ImageFormat, max_pixels: int) -> np.ndarray:
    """Return the image in a JSON or Parquet value.

    Args:
        value: base64 of a file or of raw pixels, lists of pixels; also a file's bytes, an array.
        images: the images that the model declares.
        max_pixels: width times height beyond which an image is refused undecoded.

    Raises:
        ValueError: there is none.
    """
    if isinstance(value, bytes):
        return decode_file(value, images, max_pixels)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return _read_pixels(value, images)
    if isinstance(value, np.ndarray):
        value = _to_lists(value)
    if isinstance(value, str):
        data, media_type = _decode_base64(value)
        if media_type.startswith("image/") or is_image_file(data):
            return decode_file(data, images, max_pixels)
        if media_type in ("", "application/octet-stream") and not _find_other_file(data):
            return decode_pixels(data, images, max_pixels)
        raise UndecodableError(
            f"base64 of neither an image file nor raw pixels: {media_type} {show_bytes(data)}"
        )
    if not isinstance(value, list):
        raise UndecodableError(f"a JSON {type(value).__name__}, not a list of pixels or base64")
    pixels = np.asarray(value)  # a ragged list raises
    if not pixels.size:
        raise UndecodableError("it holds no image: it is empty")
    if pixels.dtype.kind not in "iuf":
        raise UndecodableError("its pixels are not numbers")
    if pixels.dtype.kind == "f" and _has_large_integer(value):
        raise UndecodableError("an integer beyond 2**53 among other numbers")
    return _read_pixels(pixels, images)


def _read_pixels(pixels: np.ndarray, images: ImageFormat) -> np.ndarray:
    if images.is_declared:
        return fit_array(pixels, images)
    if pixels.dtype.kind == "i" and pixels.min() >= 0 and pixels.max() <= 255:
        return pixels.astype(np.uint8)
    return pixels


def _to_lists(value: Any) -> Any:
    """Return Parquet's lists, arrays of arrays, as JSON's."""
    return list(map(_to_lists, value)) if isinstance(value, np.ndarray) else value


def _decode_base64(text: str) -> tuple[bytes, str]:
    """Decode base64 of any variant; return the media type of a data: URI, or ""."""
    media_type = ""
    if text[:5].lower() == "data:":
        head, _, text = text[5:].partition(",")
        media_type, *options = head.lower().split(";")
        if "base64" not in options:
            raise UndecodableError("a data: URI that is not in base64")
        text = unquote(text)
    packed = "".join(text.split()).replace("-", "+").replace("_", "/")  # URL-safe
    if not packed.endswith("="):
        packed += "=" * (-len(packed) % 4)
    try:
        return base64.b64decode(packed, validate=True), media_type
    except ValueError as error:
        raise UndecodableError(f"not base64: {error}") from None


def has_boolean(value: Any) -> bool:
    """Return whether lists hold a boolean, which numpy would turn into 0 or 1 among numbers."""
    if isinstance(value, list):
        return any(map(has_boolean, value))
    return isinstance(value, bool)


def _has_large_integer(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_has_large_integer, value))
    return isinstance(value, int) and abs(value) > LARGEST_EXACT


def decode_file(data: bytes, images: ImageFormat, max_pixels: int) -> np.ndarray:
    """Return the image in a file's bytes.

    Raises:
        ValueError: there is none.
    """
    _check_not_empty(data)
    return decode_image(data, max_pixels, images)


def decode_pixels(data: bytes, images: ImageFormat, max_pixels: int) -> np.ndarray:
    """Return raw pixels in the declared image's shape or, without one, unchanged.

    Raises:
        ValueError: there are none, or the number of pixels is wrong.
    """
    _check_not_empty(data)
    pixels = np.frombuffer(bytearray(data), np.uint8)  # its own memory, which may be written to
    return fit_array(pixels, images) if images.is_declared else pixels


def _check_not_empty(data: bytes) -> None:
    if not data:
        raise UndecodableError("it holds no image: it is empty")


def show_bytes(data: bytes) -> str:
    """Return the beginning of bytes, and its format."""
    name = _find_other_file(data)
    return f"{data[:_SHOWN_BYTES]!r}" + (f" ({name})" if name else "")


def _find_other_file(data: bytes) -> str | None:
    """Return the name of an unsupported format, if bytes begin like a file of it."""
    if data[4:8] == b"ftyp":
        return "HEIF, AVIF or video"
    return next((name for start, name in _OTHER_FILES.items() if data.startswith(start)), None)
