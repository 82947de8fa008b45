"""Pub/Sub messages as blocks of rows: JSON objects, image files, pixels.

Messages that have the same columns, and values of the same kinds, share a block: what one message
lacks or has changes no type of its neighbours, see ``template.sources.kinds``.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import PCollection, TaggedOutput

from template.blocks import IMAGE, KEY, Block, object_cells
from template.dead_letters import DEAD_LETTERS, DeadLetter, describe
from template.messages import MESSAGES, Message, Messages
from template.needs.fitting import fit_array
from template.needs.image_format import AS_STORED, ImageFormat
from template.parameters import MAX_IMAGE_PIXELS
from template.sources.chunks import BOM
from template.sources.columns import check_passthrough
from template.sources.images import decode_image, is_image_file
from template.sources.json_objects import (
    find_passthrough,
    make_frames,
    object_columns,
    parse_object,
    take_key,
)
from template.sources.kinds import LARGEST_EXACT

CONTENT_TYPE = "content_type"
"""The attribute that tells what a message holds, where ``message_format`` does not."""

_FORMATS: Mapping[str, str] = MappingProxyType(
    {"application/json": "json", "application/octet-stream": "pixels"}
)
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
    """A message does not hold what it should; the message says what it does."""


@dataclass(frozen=True, kw_only=True)
class MessageSettings:
    """How messages are read.

    Attributes:
        message_format: "auto", "json", "image" or "pixels".
        key_column: the field of a JSON object, or the attribute of another message, that is the
            row's key; the message's id if it is None.
        passthrough_columns: fields, or attributes, that travel beside the frame as they came. A
            message that lacks one is a dead letter.
        max_image_pixels: width times height beyond which an image is a dead letter.
        images: those that the model declares.
        max_block_bytes: the bytes of decoded images at which a block is complete.
    """

    message_format: str = "auto"
    key_column: str | None = None
    passthrough_columns: tuple[str, ...] = ()
    max_image_pixels: int = MAX_IMAGE_PIXELS
    max_block_bytes: int = 512 << 20
    images: ImageFormat = AS_STORED


class DecodeMessages(beam.PTransform):
    """Decodes batches of messages; the result is ``(blocks, dead_letters)``."""

    def __init__(self, settings: MessageSettings) -> None:
        super().__init__()
        self._dofn = _DecodeDoFn(settings)

    def expand(self, batches: PCollection[Messages]) -> tuple[PCollection, PCollection]:
        """Decode; a block holds at most as many rows as its batch."""
        decoded = batches | "Decode" >> beam.ParDo(self._dofn).with_outputs(
            _DecodeDoFn.DEAD_LETTERS, main="blocks"
        )
        return decoded["blocks"], decoded[_DecodeDoFn.DEAD_LETTERS]


class Row(NamedTuple):
    """What a message holds: the key, the columns to predict, and those that are passed through."""

    key: str
    columns: dict[str, Any]
    passed: list[Any]


def decode_message(message: Message, settings: MessageSettings) -> Row:
    """Return the row that a message holds.

    Raises:
        ValueError: it does not hold one.
    """
    message_format, key_column = settings.message_format, settings.key_column
    passthrough_columns = settings.passthrough_columns
    if message_format == "auto":
        message_format = _find_format(message)
    key = message.message_id
    if message_format == "json":
        record = parse_object(message.payload)
        passed = find_passthrough(record, message.payload, passthrough_columns)
        if key_column is not None:
            key = take_key(record, key_column)
        if IMAGE in record:
            # One look at the text is cheaper than a look at every pixel.
            has_words = b"true" in message.payload or b"false" in message.payload
            if has_words and isinstance(record[IMAGE], list) and _has_boolean(record[IMAGE]):
                raise UndecodableError(f"field {IMAGE}: its pixels are not numbers")
            record[IMAGE] = _decode_json_image(record[IMAGE], settings)
        return Row(key, record, passed)
    if key_column is not None:
        key = message.attributes.get(key_column, "")
        if not key:
            raise UndecodableError(f"no attribute {key_column!r}, which is to be its key")
    check_passthrough(message.attributes, passthrough_columns)
    passed = [message.attributes[name] for name in passthrough_columns]
    decode = _decode_file if message_format == "image" else _decode_pixels
    image = decode(message.payload, settings)
    return Row(key, {IMAGE: image}, passed)


def _find_format(message: Message) -> str:
    content_type = message.attributes.get(CONTENT_TYPE, "").partition(";")[0].strip().lower()
    if content_type.startswith("image/"):
        return "image"
    if content_type in _FORMATS:
        return _FORMATS[content_type]
    if content_type:
        raise UndecodableError(
            f"attribute {CONTENT_TYPE} is {content_type!r}: not {', '.join(_FORMATS)} or image/..."
        )
    if not message.payload:
        raise UndecodableError("it is empty")
    if is_image_file(message.payload):
        return "image"
    if message.payload.removeprefix(BOM).lstrip()[:1] in (b"{", b"["):
        return "json"
    raise UndecodableError(
        f"neither a JSON object nor an image file: it begins with {_show(message.payload)}; raw "
        f"pixels need message_format=pixels or attribute {CONTENT_TYPE}=application/octet-stream"
    )


def _decode_json_image(value: Any, settings: MessageSettings) -> np.ndarray:
    if isinstance(value, str):
        data, media_type = _decode_base64(value)
        if media_type.startswith("image/") or is_image_file(data):
            return _decode_file(data, settings)
        if media_type in ("", "application/octet-stream") and not _find_other_file(data):
            return _decode_pixels(data, settings)
        raise UndecodableError(
            f"field {IMAGE}: base64 of neither an image file nor raw pixels: {media_type} "
            f"{_show(data)}"
        )
    if not isinstance(value, list):
        raise UndecodableError(
            f"field {IMAGE}: a JSON {type(value).__name__}, not a list of pixels or base64"
        )
    pixels = np.asarray(value)  # a ragged list raises
    if not pixels.size:
        raise UndecodableError(f"field {IMAGE}: it holds no image: it is empty")
    if pixels.dtype.kind not in "iuf":
        raise UndecodableError(f"field {IMAGE}: its pixels are not numbers")
    if pixels.dtype.kind == "f" and _has_large_integer(value):
        raise UndecodableError(f"field {IMAGE}: an integer beyond 2**53 among other numbers")
    if settings.images.is_declared:
        return fit_array(pixels, settings.images)
    if pixels.dtype.kind == "i" and pixels.min() >= 0 and pixels.max() <= 255:
        return pixels.astype(np.uint8)
    return pixels


def _decode_base64(text: str) -> tuple[bytes, str]:
    """Decode base64 in any of its dialects; return the media type that a data: URI says, or ""."""
    media_type = ""
    if text[:5].lower() == "data:":
        head, _, text = text[5:].partition(",")
        media_type, *options = head.lower().split(";")
        if "base64" not in options:
            raise UndecodableError(f"field {IMAGE}: a data: URI that is not in base64")
        text = unquote(text)
    packed = "".join(text.split()).replace("-", "+").replace("_", "/")  # URL-safe
    if not packed.endswith("="):
        packed += "=" * (-len(packed) % 4)
    try:
        return base64.b64decode(packed, validate=True), media_type
    except ValueError as error:
        raise UndecodableError(f"field {IMAGE}: not base64: {error}") from None


def _has_boolean(value: Any) -> bool:
    """Return whether lists hold a boolean, which numpy would make 0 or 1 beside numbers."""
    if isinstance(value, list):
        return any(map(_has_boolean, value))
    return isinstance(value, bool)


def _has_large_integer(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_has_large_integer, value))
    return isinstance(value, int) and abs(value) > LARGEST_EXACT


def _decode_file(data: bytes, settings: MessageSettings) -> np.ndarray:
    _check_not_empty(data)
    return decode_image(data, settings.max_image_pixels, settings.images)


def _decode_pixels(data: bytes, settings: MessageSettings) -> np.ndarray:
    _check_not_empty(data)
    pixels = np.frombuffer(bytearray(data), np.uint8)  # its own, to be written to
    return fit_array(pixels, settings.images) if settings.images.is_declared else pixels


def _check_not_empty(data: bytes) -> None:
    if not data:
        raise UndecodableError("it holds no image: it is empty")


def _show(data: bytes) -> str:
    name = _find_other_file(data)
    return f"{data[:_SHOWN_BYTES]!r}" + (f" ({name})" if name else "")


def _find_other_file(data: bytes) -> str | None:
    """Return the name of a format that is not read, if bytes begin as a file of it."""
    if data[4:8] == b"ftyp":
        return "HEIF, AVIF or video"
    return next((name for start, name in _OTHER_FILES.items() if data.startswith(start)), None)


@beam.typehints.with_output_types(Block, dead_letters=DeadLetter)
class _DecodeDoFn(beam.DoFn):
    DEAD_LETTERS = "dead_letters"

    def __init__(self, settings: MessageSettings) -> None:
        self._settings = settings

    def process(self, element: Messages) -> Iterator[Any]:
        alike: dict[frozenset[str], list[tuple[Message, Row]]] = defaultdict(list)
        size = 0
        for message in element:
            try:
                row = decode_message(message, self._settings)
            except Exception as error:  # a payload may provoke whatever a decoder raises
                DEAD_LETTERS.inc()
                letter = DeadLetter(
                    key=message.message_id,
                    error=describe(error),
                    source=message.source,
                    message=message,
                )
                yield TaggedOutput(self.DEAD_LETTERS, letter)
            else:
                alike[frozenset(row.columns)].append((message, row))
                size += row.columns[IMAGE].nbytes if IMAGE in row.columns else 0
            if size >= self._settings.max_block_bytes:
                yield from chain.from_iterable(map(self._make_blocks, alike.values()))
                alike.clear()
                size = 0
        yield from chain.from_iterable(map(self._make_blocks, alike.values()))

    def _make_blocks(self, found: Sequence[tuple[Message, Row]]) -> Iterator[Block]:
        for frame, group in make_frames(_gather_columns([row for _, row in found], self._settings)):
            rows = [found[row] for row in group.rows.tolist()]
            messages = Messages(message for message, _ in rows)
            beside = {KEY: object_cells([row.key for _, row in rows])}
            for position, name in enumerate(self._settings.passthrough_columns):
                beside[name] = object_cells([row.passed[position] for _, row in rows])
            yield Block(
                frame=frame,
                beside=beside,
                index=frame.index,
                attrs={MESSAGES: messages},
                integers=group.integers,
                origin=_Decoded(messages, self._settings),
            )


@dataclass(frozen=True)
class _Decoded:
    """The messages of a block, and how they were decoded."""

    messages: Messages
    settings: MessageSettings

    def __call__(self) -> Mapping[str, np.ndarray]:
        rows = [decode_message(message, self.settings) for message in self.messages]
        return object_columns(_gather_columns(rows, self.settings))


def _gather_columns(rows: Sequence[Row], settings: MessageSettings) -> list[dict[str, Any]]:
    """Return the columns of rows that have the same ones, with declared images in one array."""
    columns = [row.columns for row in rows]
    if settings.images.is_declared and IMAGE in columns[0]:
        images = np.stack([each[IMAGE] for each in columns])
        return [{**each, IMAGE: image} for each, image in zip(columns, images, strict=True)]
    return columns
