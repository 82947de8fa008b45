"""Pub/Sub messages as blocks of rows: JSON objects, image files, pixels.

Messages that have the same columns, and values of the same kinds, share a block: one message never
changes the types of its neighbours, see ``template.sources.kinds``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pandas as pd
from apache_beam.pvalue import PCollection, TaggedOutput

from template.blocks import IMAGE, KEY, Block, object_cells
from template.dead_letters import DeadLetter, count_dead_letter, describe
from template.messages import MESSAGES, Message, Messages
from template.needs.columns import Column
from template.needs.image_format import AS_STORED, ImageFormat
from template.parameters import MAX_IMAGE_PIXELS
from template.sources.chunks import BOM
from template.sources.columns import check_passthrough
from template.sources.declared_rows import (
    DeclaredRows,
    check_fields,
    check_image_column,
    required_fields,
)
from template.sources.json_images import (
    UndecodableError,
    decode_file,
    decode_pixels,
    has_boolean,
    read_image,
    show_bytes,
)
from template.sources.json_objects import (
    find_key,
    find_passthrough,
    make_frames,
    object_columns,
    parse_object,
)
from template.sources.pixels import is_image_file

CONTENT_TYPE = "content_type"
"""The attribute that names a message's format, unless ``message_format`` does."""

_FORMATS: Mapping[str, str] = MappingProxyType(
    {"application/json": "json", "application/octet-stream": "pixels"}
)


@dataclass(frozen=True, kw_only=True)
class MessageSettings:
    """The settings for reading messages.

    Attributes:
        message_format: "auto", "json", "image" or "pixels".
        key_column: the field of a JSON object, or the attribute of another message, that is the
            row's key; the message's id if it is None.
        passthrough_columns: fields, or attributes, that travel unchanged beside the frame. A
            message that lacks one is a dead letter.
        max_image_pixels: width times height beyond which an image is a dead letter.
        columns, images: those that the model declares.
        max_block_bytes: the bytes of decoded images at which a block is complete.
    """

    message_format: str = "auto"
    key_column: str | None = None
    passthrough_columns: tuple[str, ...] = ()
    max_image_pixels: int = MAX_IMAGE_PIXELS
    max_block_bytes: int = 512 << 20
    columns: tuple[Column, ...] = ()
    images: ImageFormat = AS_STORED

    @cached_property
    def required(self) -> frozenset[str]:
        """The fields that a JSON object must have."""
        return required_fields(self)


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
    """The content of a message: the key, the columns to predict, and the passed-through ones."""

    key: str
    columns: dict[str, Any]
    passed: list[Any]


def decode_message(message: Message, settings: MessageSettings) -> Row:
    """Return the row in a message.

    Raises:
        ValueError: there is none.
    """
    message_format, key_column = settings.message_format, settings.key_column
    passthrough_columns = settings.passthrough_columns
    if message_format == "auto":
        message_format = _find_format(message)
    key = message.message_id
    if message_format == "json":
        record = parse_object(message.payload)
        passed = find_passthrough(record, message.payload, passthrough_columns)
        check_fields(record, settings.required, settings)
        if key_column is not None:
            key = find_key(record, key_column)
        if settings.columns:
            return Row(key, record, passed)
        if key_column is not None:
            del record[key_column]
        if IMAGE in record:
            # Checking the text once is cheaper than checking every pixel.
            has_words = b"true" in message.payload or b"false" in message.payload
            if has_words and isinstance(record[IMAGE], list) and has_boolean(record[IMAGE]):
                raise UndecodableError(f"field {IMAGE}: its pixels are not numbers")
            record[IMAGE] = _read_json_image(record[IMAGE], settings)
        return Row(key, record, passed)
    if key_column is not None:
        key = message.attributes.get(key_column, "")
        if not key:
            raise UndecodableError(f"no attribute {key_column!r}, which key_column names")
    check_passthrough(message.attributes, passthrough_columns)
    passed = [message.attributes[name] for name in passthrough_columns]
    decode = decode_file if message_format == "image" else decode_pixels
    check_image_column(settings)
    image = decode(message.payload, settings.images, settings.max_image_pixels)
    return Row(key, {IMAGE: image}, passed)


def _find_key_of_undecoded(message: Message, settings: MessageSettings) -> str:
    """Return the key of a message without a row; its id, if the key cannot be read either."""
    key_column = settings.key_column
    if key_column is None:
        return message.message_id
    message_format = settings.message_format
    try:
        if message_format == "auto":
            message_format = _find_format(message)
        if message_format == "json":
            return find_key(parse_object(message.payload), key_column)
    except Exception:  # decoders may raise anything for a payload
        if message_format == "json":
            return message.message_id
    return message.attributes.get(key_column) or message.message_id


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
        f"neither a JSON object nor an image file: it begins with {show_bytes(message.payload)}; "
        f"raw pixels need message_format=pixels or attribute {CONTENT_TYPE}="
        "application/octet-stream"
    )


def _read_json_image(value: Any, settings: MessageSettings) -> np.ndarray:
    try:
        return read_image(value, settings.images, settings.max_image_pixels)
    except UndecodableError as error:
        raise UndecodableError(f"field {IMAGE}: {error}") from None


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
            except Exception as error:  # decoders may raise anything for a payload
                key = _find_key_of_undecoded(message, self._settings)
                yield self._dead_letter(message, key, describe(error))
            else:
                names = () if self._settings.columns else row.columns
                alike[frozenset(names)].append((message, row))
                size += getattr(row.columns.get(IMAGE), "nbytes", 0)
            if size >= self._settings.max_block_bytes:
                yield from chain.from_iterable(map(self._make_blocks, alike.values()))
                alike.clear()
                size = 0
        yield from chain.from_iterable(map(self._make_blocks, alike.values()))

    def _dead_letter(self, message: Message, key: str, error: str) -> TaggedOutput:
        count_dead_letter(error)
        letter = DeadLetter(key=key, error=error, source=message.source, message=message)
        return TaggedOutput(self.DEAD_LETTERS, letter)

    def _make_blocks(self, found: Sequence[tuple[Message, Row]]) -> Iterator[Any]:
        if self._settings.columns:
            yield from self._make_declared_block(found)
            return
        for frame, group in make_frames(_gather_columns([row for _, row in found], self._settings)):
            rows = [found[row] for row in group.rows.tolist()]
            yield self._make_block(frame, rows, group.integers)

    def _make_declared_block(self, found: Sequence[tuple[Message, Row]]) -> Iterator[Any]:
        typed = DeclaredRows.of_records([row.columns for _, row in found], self._settings)
        for row, problem in sorted(typed.problems.items()):
            message, content = found[row]
            yield self._dead_letter(message, content.key, f"ValueError: {problem}")
        rows = [found[row] for row in typed.kept.tolist()]
        if rows:
            yield self._make_block(typed.make_frame(), rows)

    def _make_block(
        self,
        frame: pd.DataFrame,
        rows: Sequence[tuple[Message, Row]],
        integers: tuple[str, ...] = (),
    ) -> Block:
        messages = Messages(message for message, _ in rows)
        beside = {KEY: object_cells([row.key for _, row in rows])}
        for position, name in enumerate(self._settings.passthrough_columns):
            beside[name] = object_cells([row.passed[position] for _, row in rows])
        return Block(
            frame=frame,
            beside=beside,
            index=frame.index,
            attrs={MESSAGES: messages},
            integers=integers,
            origin=_Decoded(messages, self._settings),
            is_typed=bool(self._settings.columns),
        )


@dataclass(frozen=True)
class _Decoded:
    """The messages of a block, and how they were decoded."""

    messages: Messages
    settings: MessageSettings

    def __call__(self) -> Mapping[str, Any]:
        rows = [decode_message(message, self.settings) for message in self.messages]
        if self.settings.columns:
            return DeclaredRows.of_records([row.columns for row in rows], self.settings).columns
        return object_columns(_gather_columns(rows, self.settings))


def _gather_columns(rows: Sequence[Row], settings: MessageSettings) -> list[dict[str, Any]]:
    """Return the columns of rows that have the same ones, with declared images in one array."""
    columns = [row.columns for row in rows]
    if settings.images.is_declared and IMAGE in columns[0]:
        images = np.stack([each[IMAGE] for each in columns])
        return [{**each, IMAGE: image} for each, image in zip(columns, images, strict=True)]
    return columns
