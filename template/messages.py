"""A Pub/Sub message on its way through the streaming pipeline.

``Messages`` are batched and kept in state: each message once, as received. A block made of them
carries them in ``attrs``, and its index holds their positions, so that the message of a prediction
or dead letter can be found.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import pandas as pd
from apache_beam.io.gcp.pubsub import PubsubMessage

from template.blocks import MODEL_ID, Block

MESSAGE_ID = "message_id"
REPLY_COLUMNS = (MESSAGE_ID, MODEL_ID)
"""The fields of a reply besides the key, the passed-through columns and the prediction."""
MESSAGES = "messages"
"""The entry of ``attrs`` that holds the messages of all rows of a block."""


class Message(NamedTuple):
    """One message; ``publish_time`` in seconds since 1970.

    A tuple rather than a dataclass, because a tuple pickles several times faster.
    """

    payload: bytes
    attributes: Mapping[str, str]
    message_id: str
    publish_time: float

    @property
    def source(self) -> str:
        """Its name in dead letters."""
        return f"message {self.message_id}"

    @classmethod
    def from_beam(cls, message: PubsubMessage) -> Message:
        """Return the message from ``ReadFromPubSub``."""
        return cls(
            message.data,
            message.attributes,
            message.message_id,
            message.publish_time.timestamp(),
        )


class Messages(tuple[Message, ...]):
    """Messages; immutable, and so never copied with the attrs of a DataFrame."""

    __slots__ = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Messages:
        return self


class MessagesCoder(beam.coders.Coder):
    """Pickles messages, but knows their size without pickling them."""

    def encode(self, value: Messages) -> bytes:
        """Pickle messages."""
        return pickle.dumps(value, protocol=5)

    def decode(self, encoded: bytes) -> Messages:
        """Unpickle messages."""
        messages: Messages = pickle.loads(encoded)  # noqa: S301  (Beam's own default for such elements)
        return messages

    def estimate_size(self, value: Messages) -> int:
        """Return the bytes of the payloads."""
        return sum(len(message.payload) for message in value)

    def is_deterministic(self) -> bool:
        """Messages cannot be grouping keys."""
        return False


beam.coders.registry.register_coder(Messages, MessagesCoder)


def find_messages(rows: Block | pd.DataFrame) -> Messages | None:
    """Return the messages of a block's rows, by its index; None if the rows are from files."""
    messages: Messages | None = rows.attrs.get(MESSAGES)
    return None if messages is None else Messages(messages[number] for number in rows.index)


def find_message(rows: Block | pd.DataFrame, position: int) -> Message | None:
    """Return the message of the row at ``position``; None if the row is from a file."""
    messages: Messages | None = rows.attrs.get(MESSAGES)
    return None if messages is None else messages[rows.index[position]]
