"""Pub/Sub messages as elements of a pipeline, and elements as messages.

Implements the attributes of read and write steps: deduplication by id, and timestamps.
https://cloud.google.com/dataflow/docs/concepts/streaming-with-cloud-pubsub
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from itertools import islice
from typing import Any

from apache_beam.coders.coder_impl import CoderImpl
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.timestamp import Timestamp
from google.pubsub_v1 import types

from launcher.emulator.runtime.errors import WorkflowFailedError

_REMEMBERED_IDS_SEC = 600.0  # the time for which Dataflow deduplicates by id


class MessageReader:
    """Makes the elements of one read step from messages."""

    def __init__(self, payload: beam_runner_api_pb2.PubSubReadPayload, coder: CoderImpl) -> None:
        self._payload = payload
        self._coder = coder
        self._seen: dict[str, float] = {}

    def encode(self, messages: Iterable[Any]) -> bytes:
        """Return the encoded elements; only the first of messages with the same id."""
        encoded: bytes = self._coder.encode_all(
            [
                GlobalWindows.windowed_value(
                    each.SerializeToString() if self._payload.with_attributes else each.data,
                    timestamp=self._timestamp(each),
                )
                for each in messages
                if self._is_new(each)
            ]
        )
        return encoded

    def _timestamp(self, message: Any) -> Timestamp:
        name = self._payload.timestamp_attribute
        text = message.attributes.get(name) if name else None
        if text:
            try:
                if text.isdigit():
                    return Timestamp(micros=int(text) * 1000)
                return Timestamp.from_rfc3339(text)
            except ValueError as error:
                raise WorkflowFailedError(
                    f"message {message.message_id} has the timestamp "
                    f"attribute {name!r} {text!r}: neither milliseconds nor RFC 3339. Dataflow "
                    "would retry it forever. Purge the subscription and launch again."
                ) from error
        time_sent = message.publish_time
        return Timestamp(micros=time_sent.seconds * 1_000_000 + time_sent.nanos // 1000)

    def _is_new(self, message: Any) -> bool:
        message_id = message.attributes.get(self._payload.id_attribute)
        if not self._payload.id_attribute or not message_id:
            return True
        now = time.monotonic()
        # the oldest first; two are removed for each that arrives
        for known in list(islice(self._seen, 2)):
            if now - self._seen[known] > _REMEMBERED_IDS_SEC:
                del self._seen[known]
        if message_id in self._seen:
            return False
        self._seen[message_id] = now
        return True


def read_replies(
    payload: beam_runner_api_pb2.PubSubWritePayload, coder: CoderImpl, encoded: bytes
) -> list[bytes]:
    """Return the messages in the elements of a write step, with the attributes it adds."""
    elements = coder.decode_all(encoded)
    if not payload.timestamp_attribute and not payload.id_attribute:
        return [element.value for element in elements]
    messages = []
    for element in elements:
        message = types.PubsubMessage.pb().FromString(element.value)
        if payload.timestamp_attribute:
            message.attributes[payload.timestamp_attribute] = str(element.timestamp.micros // 1000)
        if payload.id_attribute:
            message.attributes[payload.id_attribute] = uuid.uuid4().hex
        messages.append(message.SerializeToString())
    return messages
