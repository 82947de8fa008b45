"""Batching: chunks in, batches out, and the state when a job is drained."""

import datetime

import apache_beam as beam
import pytest
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.testing.util import assert_that
from apache_beam.utils.timestamp import Timestamp

from template.messages import Message, Messages
from template.sources.batching import BatchMessages, _BatchDoFn


def messages(start, count):
    return Messages(Message(b"x", {}, str(number), 0.0) for number in range(start, start + count))


class Cell:
    """A state cell or timer of one key, as Beam gives it to a DoFn."""

    def __init__(self):
        self.values = []

    def read(self):
        return self.values if self.is_bag else (self.values or [None])[-1]

    is_bag = False

    def add(self, value):
        self.values.append(value)

    def clear(self):
        self.values.clear()

    def write(self, value):
        self.values[:] = [value]

    set = write


class Bag(Cell):
    is_bag = True


class Key:
    """One key of the DoFn: its state, and when its timers fire."""

    def __init__(self, batch_size, now=1000):
        self.now = now
        self.dofn = _BatchDoFn(batch_size, 500, clock=lambda: Timestamp(self.now))
        self.chunks, self.count, self.waited, self.drained = Bag(), Cell(), Cell(), Cell()

    def process(self, chunk):
        state = (self.chunks, self.count, self.waited, self.drained)
        return [len(batch) for batch in self.dofn.process(("key", chunk), *state)]

    def fire(self):
        return [len(batch) for batch in self.dofn.flush(self.chunks, self.count, self.waited)]


def test_a_message_waits_no_longer_than_the_limit():
    key = Key(batch_size=10)
    assert key.process(messages(0, 1)) == []
    assert key.waited.read() == Timestamp(1000.5)
    key.now = 1000.4
    assert key.process(messages(1, 2)) == []
    assert key.waited.read() == Timestamp(1000.5), "the oldest decides"
    assert key.fire() == [3]
    assert not key.chunks.values
    assert not key.count.values


def test_full_batches_leave_at_once_and_the_rest_waits_anew():
    key = Key(batch_size=10)
    assert key.process(messages(0, 4)) == []
    key.now = 1000.3
    assert key.process(messages(4, 9)) == [10]
    assert key.waited.read() == Timestamp(1000.8)
    assert key.process(messages(13, 7)) == [10]
    assert not key.chunks.values
    assert not key.waited.values, "there is nothing to wait for"
    assert key.process(messages(20, 10)) == [10]


def test_a_drain_finds_what_is_buffered():
    key = Key(batch_size=10)
    key.process(messages(0, 3))
    assert key.drained.read() is not None
    assert key.fire() == [3]
    assert key.fire() == [], "the other timer has nothing left"


@pytest.mark.parametrize(("count", "batch_size"), [(7, 3), (6, 3), (1, 1), (2, 100)])
def test_every_message_is_in_one_batch(count, batch_size):
    sent = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
    elements = [
        PubsubMessage(b"payload", {"n": str(number)}, str(number), sent) for number in range(count)
    ]

    def check(batches):
        found = sorted(message.attributes["n"] for batch in batches for message in batch)
        assert found == sorted(map(str, range(count)))
        assert max(map(len, batches)) <= batch_size
        assert batches[0][0].publish_time == sent.timestamp()

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        batches = (
            pipeline
            | beam.Create(elements, reshuffle=False)
            | BatchMessages(batch_size, max_batch_duration_ms=60_000)
        )
        assert_that(batches, check)
