"""Messages as elements, and elements as messages."""

from __future__ import annotations

import pytest
from apache_beam.coders import BytesCoder, WindowedValueCoder
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.timestamp import Timestamp
from google.pubsub_v1 import types

from launcher.emulator.executor.pubsub_messages import MessageReader, read_replies
from launcher.emulator.runtime.errors import WorkflowFailedError

CODER = WindowedValueCoder(BytesCoder(), GlobalWindows().get_window_coder()).get_impl()


def message(data: bytes, **attributes: str):
    made = types.PubsubMessage.pb()(data=data, attributes=attributes)
    made.publish_time.seconds = 1000
    return made


def decode(payload, *messages):
    reader = MessageReader(beam_runner_api_pb2.PubSubReadPayload(**payload), CODER)
    return [(each.value, each.timestamp) for each in CODER.decode_all(reader.encode(messages))]


def test_elements_hold_data_or_the_whole_message():
    whole = message(b"x", a="b")
    assert decode({}, whole) == [(b"x", Timestamp(1000))]
    ((value, _),) = decode({"with_attributes": True}, whole)
    assert types.PubsubMessage.pb().FromString(value) == whole


def test_timestamps_are_those_of_the_attribute():
    payload = {"timestamp_attribute": "at"}
    assert decode(payload, message(b"x", at="2500"))[0][1] == Timestamp(2.5)
    assert decode(payload, message(b"x", at="1970-01-01T00:00:03.5Z"))[0][1] == Timestamp(3.5)
    assert decode(payload, message(b"x"))[0][1] == Timestamp(1000)


def test_a_bad_timestamp_is_reported_with_its_message():
    bad = message(b"x", at="yesterday")
    bad.message_id = "17"
    with pytest.raises(WorkflowFailedError, match=r"message 17 .* 'at' 'yesterday'"):
        decode({"timestamp_attribute": "at"}, bad)


def test_of_messages_with_one_id_the_first_counts():
    payload = {"id_attribute": "id"}
    messages = [message(b"a", id="1"), message(b"b", id="1"), message(b"c", id="2"), message(b"d")]
    assert [value for value, _ in decode(payload, *messages)] == [b"a", b"c", b"d"]


def test_writes_add_the_attributes_that_they_are_asked_for():
    value = types.PubsubMessage(data=b"x", attributes={"a": "b"})._pb.SerializeToString()
    encoded = CODER.encode_all([GlobalWindows.windowed_value(value, timestamp=2.5)])
    assert read_replies(beam_runner_api_pb2.PubSubWritePayload(), CODER, encoded) == [value]
    payload = beam_runner_api_pb2.PubSubWritePayload(timestamp_attribute="at", id_attribute="id")
    (made,) = read_replies(payload, CODER, encoded)
    attributes = types.PubsubMessage.pb().FromString(made).attributes
    assert (attributes["a"], attributes["at"], len(attributes["id"])) == ("b", "2500", 32)
