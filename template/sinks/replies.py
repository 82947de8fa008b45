"""Predictions and dead letters as Pub/Sub messages, or dead letters as files.

A reply is a JSON object: the key, the model's result, the ``message_id`` of the predicted message
and the ``model_id`` of the model: its path and, for watched files, the time when it was written
(``ModelFile.id``). It carries the message's attributes. A consumer joins and deduplicates by
``message_id``: with at-least-once delivery a reply may arrive twice.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping

import apache_beam as beam
import orjson
import pandas as pd
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from template.blocks import KEY, MODEL_ID
from template.dead_letters import PREDICTIONS, DeadLetter, count_dead_letter
from template.messages import MESSAGE_ID, Message, find_messages
from template.sinks.encoding import encode_block, json_lines
from template.sources.messages import CONTENT_TYPE

LATENCIES = Metrics.distribution("flexpack", "latency_ms")
"""From a message's publication to its prediction, in milliseconds."""

_JSON = "application/json"
# Pub/Sub's limits: https://cloud.google.com/pubsub/quotas#resource_limits
_MOST_ATTRIBUTES = 100
_MOST_PAYLOAD_BYTES = 7_000_000  # as base64 within 10 MB
_MOST_REPLY_BYTES = 9_800_000  # beside the attributes within 10 MB


@beam.typehints.with_output_types(PubsubMessage, dead_letters=DeadLetter)
class FormatReplies(beam.DoFn):
    """Makes a message from every row of a block of predictions.

    A row that JSON cannot hold, or that is too large for Pub/Sub, is a dead letter: Pub/Sub would
    refuse it again and again.
    """

    DEAD_LETTERS = "dead_letters"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def process(self, element: pd.DataFrame) -> Iterator[PubsubMessage | TaggedOutput]:
        messages = find_messages(element)
        assert messages is not None, "a stream's blocks are of messages"
        rows = element.assign(
            **{
                MESSAGE_ID: [message.message_id for message in messages],
                MODEL_ID: element.attrs[MODEL_ID],
            }
        )
        now = self._clock()
        for part in encode_block(rows, _reply_lines):
            if isinstance(part, DeadLetter):
                yield TaggedOutput(self.DEAD_LETTERS, part)
                continue
            for key, message, line in part:
                yield self._make_reply(key, message, line, now)

    def _make_reply(
        self, key: str, message: Message, line: bytes, now: float
    ) -> PubsubMessage | TaggedOutput:
        if len(line) > _MOST_REPLY_BYTES:
            PREDICTIONS.dec()
            error = f"ValueError: a reply of {len(line):,} bytes; Pub/Sub takes 10 MB"
            count_dead_letter(error)
            letter = DeadLetter(key=key, error=error, source=message.source, message=message)
            return TaggedOutput(self.DEAD_LETTERS, letter)
        LATENCIES.update(max(0, round((now - message.publish_time) * 1000)))
        return PubsubMessage(line, _reply_attributes(message.attributes))


@beam.typehints.with_output_types(PubsubMessage)
class FormatDeadLetters(beam.DoFn):
    """Makes a message from every dead letter."""

    def process(self, element: DeadLetter) -> Iterator[PubsubMessage]:
        yield PubsubMessage(_to_json(element), _reply_attributes(_message(element).attributes))


class WriteDeadLetterFiles(beam.DoFn):
    """Writes the dead letters of each bundle to a file ``<output>-<time>-<unique>.jsonl``.

    There is no shuffle, so nothing waits for a window to close. A retried bundle writes its letters
    twice, as at-least-once delivery allows.
    """

    def __init__(self, output: str) -> None:
        self._output = output

    def start_bundle(self) -> None:
        self._lines: list[bytes] = []

    def process(self, element: DeadLetter) -> None:
        self._lines.append(_to_json(element))

    def finish_bundle(self) -> None:
        if not self._lines:
            return
        path = (
            f"{self._output}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4()}.jsonl"
        )
        with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(b"\n".join(self._lines) + b"\n")


def _reply_lines(rows: pd.DataFrame) -> list[tuple[str, Message, bytes]]:
    """Return key, message and reply of each row."""
    messages = find_messages(rows)
    assert messages is not None, "a stream's blocks are of messages"
    return list(zip(rows[KEY], messages, json_lines(rows).splitlines(), strict=True))


def _to_json(letter: DeadLetter) -> bytes:
    record = letter.to_json()
    message = _message(letter)
    record[MESSAGE_ID] = message.message_id
    if len(message.payload) > _MOST_PAYLOAD_BYTES:
        # With the payload, Pub/Sub would refuse the letter again and again.
        record["payload"] = None
        record["payload_bytes"] = len(message.payload)
    return orjson.dumps(record)


def _message(letter: DeadLetter) -> Message:
    assert letter.message is not None, "a stream's dead letters are messages"
    return letter.message


def _reply_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    if CONTENT_TYPE not in attributes and len(attributes) >= _MOST_ATTRIBUTES:
        return dict(attributes)
    return {**attributes, CONTENT_TYPE: _JSON}
