"""Pub/Sub messages as blocks of rows: JSON objects, image files, pixels.

Messages with the same columns become one block: what one message lacks is no NaN that changes the
types of its neighbours.
"""

from __future__ import annotations

import base64
import binascii
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pandas as pd
from apache_beam.pvalue import PCollection, TaggedOutput

from template.blocks import IMAGE, KEY, Block, object_cells
from template.dead_letters import DEAD_LETTERS, DeadLetter, describe
from template.messages import MESSAGES, Message, Messages
from template.sources.columns import check_passthrough
from template.sources.images import decode_image
from template.sources.jsonl import find_integers, find_passthrough, parse_object, take_key

CONTENT_TYPE = "content_type"
"""The attribute that tells what a message holds, where ``message_format`` does not."""

_FORMATS: Mapping[str, str] = MappingProxyType(
    {"application/json": "json", "application/octet-stream": "pixels"}
)
_IMAGE_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\x00", b"MM\x00*")


class UndecodableError(ValueError):
    """A message does not hold what it should; the message says what it does."""


class DecodeMessages(beam.PTransform):
    """Decodes batches of messages; the result is ``(blocks, dead_letters)``.

    Args:
        message_format: "auto", "json", "image" or "pixels".
        key_column: the field of a JSON object, or the attribute of another message, that is the
            row's key; the message's id if it is None.
        passthrough_columns: fields, or attributes, that travel beside the frame as they came. A
            message that lacks one is a dead letter.
    """

    def __init__(
        self,
        message_format: str,
        key_column: str | None,
        passthrough_columns: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self._dofn = _DecodeDoFn(message_format, key_column, passthrough_columns)

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


def decode_message(
    message: Message,
    message_format: str,
    key_column: str | None,
    passthrough_columns: Sequence[str] = (),
) -> Row:
    """Return the row that a message holds.

    Raises:
        ValueError: it does not hold one.
    """
    if message_format == "auto":
        message_format = _find_format(message)
    if message_format == "json":
        record = parse_object(message.payload)
        passed = find_passthrough(record, message.payload, passthrough_columns)
        key = message.message_id
        if key_column is not None:
            key = take_key(record, message.payload, key_column)
        if IMAGE in record:
            record[IMAGE] = _decode_json_image(record[IMAGE])
        return Row(key, record, passed)
    key = message.message_id
    if key_column is not None:
        key = message.attributes.get(key_column, "")
        if not key:
            raise UndecodableError(f"no attribute {key_column!r}, which is to be its key")
    check_passthrough(message.attributes, passthrough_columns)
    passed = [message.attributes[name] for name in passthrough_columns]
    image = _decode_image(message.payload, is_file=message_format == "image")
    return Row(key, {IMAGE: image}, passed)


def _find_format(message: Message) -> str:
    content_type = message.attributes.get(CONTENT_TYPE, "").partition(";")[0].strip().lower()
    if not content_type:
        if message.payload.startswith(_IMAGE_MAGIC):
            return "image"
        return "json" if message.payload.lstrip()[:1] == b"{" else "pixels"
    if content_type.startswith("image/"):
        return "image"
    if content_type not in _FORMATS:
        raise UndecodableError(
            f"attribute {CONTENT_TYPE} is {content_type!r}: not {', '.join(_FORMATS)} or image/..."
        )
    return _FORMATS[content_type]


def _decode_json_image(value: Any) -> np.ndarray:
    if isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise UndecodableError(f"field {IMAGE}: not base64: {error}") from None
        return _decode_image(data, is_file=data.startswith(_IMAGE_MAGIC))
    if not isinstance(value, list):
        raise UndecodableError(
            f"field {IMAGE}: a JSON {type(value).__name__}, not a list of pixels or base64"
        )
    pixels = np.asarray(value)  # a ragged list raises
    if pixels.dtype.kind not in "iuf":
        raise UndecodableError(f"field {IMAGE}: its pixels are not numbers")
    if pixels.dtype.kind == "i" and pixels.size and pixels.min() >= 0 and pixels.max() <= 255:
        return pixels.astype(np.uint8)
    return pixels


def _decode_image(data: bytes, *, is_file: bool) -> np.ndarray:
    if not data:
        raise UndecodableError("it holds no image: it is empty")
    return decode_image(data) if is_file else np.frombuffer(data, np.uint8)


@beam.typehints.with_output_types(Block, dead_letters=DeadLetter)
class _DecodeDoFn(beam.DoFn):
    DEAD_LETTERS = "dead_letters"

    def __init__(
        self,
        message_format: str,
        key_column: str | None,
        passthrough_columns: tuple[str, ...],
    ) -> None:
        self._message_format = message_format
        self._key_column = key_column
        self._passthrough_columns = passthrough_columns

    def process(self, element: Messages) -> Iterator[Any]:
        alike: dict[tuple[str, ...], list[tuple[Message, Row]]] = defaultdict(list)
        for message in element:
            try:
                row = decode_message(
                    message, self._message_format, self._key_column, self._passthrough_columns
                )
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
                alike[tuple(sorted(row.columns))].append((message, row))
        for found in alike.values():
            yield self._make_block(found)

    def _make_block(self, found: Sequence[tuple[Message, Row]]) -> Block:
        rows = [row for _, row in found]
        columns: dict[str, Any] = {}
        for name in sorted(rows[0].columns):
            cells = [row.columns[name] for row in rows]
            columns[name] = object_cells(cells) if name == IMAGE else cells
        frame = pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))
        beside = {KEY: object_cells([row.key for row in rows])}
        for position, name in enumerate(self._passthrough_columns):
            beside[name] = object_cells([row.passed[position] for row in rows])
        return Block(
            frame=frame,
            beside=beside,
            index=frame.index,
            attrs={MESSAGES: Messages(message for message, _ in found)},
            integers=tuple(find_integers(frame, [row.columns for row in rows])),
        )
