"""BatchMessages: puts messages of many bundles into one batch, by number and by time.

A streaming bundle often holds one message, whereas a GPU needs a thousand. A bundle's messages
enter the state as one chunk, and leave it when there are enough for a batch or the oldest has
waited long enough. No GroupByKey: the key only names the state's worker process, so nothing waits
for messages of other workers.
https://beam.apache.org/documentation/programming-guide/#state-and-timers
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import apache_beam as beam
from apache_beam.coders import VarIntCoder
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PCollection
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from template.dead_letters import ROWS_READ
from template.messages import Message, Messages, MessagesCoder

BATCH_SIZES = Metrics.distribution("flexpack", "batch_size")


class BatchMessages(beam.PTransform):
    """Batches the messages of ``ReadFromPubSub(with_attributes=True)``.

    Args:
        batch_size: the largest number of messages in a batch.
        max_batch_duration_ms: how long a message waits at most for others to fill its batch.
    """

    def __init__(self, batch_size: int, max_batch_duration_ms: int) -> None:
        super().__init__()
        self._batch_size = batch_size
        self._max_batch_duration_ms = max_batch_duration_ms

    def expand(self, messages: PCollection[PubsubMessage]) -> PCollection[Messages]:
        """Batch; the windows of the messages must be the global one."""
        return (
            messages
            | "Gather" >> beam.ParDo(_GatherDoFn(self._batch_size))
            | "Batch" >> beam.ParDo(_BatchDoFn(self._batch_size, self._max_batch_duration_ms))
        )


@beam.typehints.with_output_types(tuple[str, Messages])
class _GatherDoFn(beam.DoFn):
    """Makes chunks of the messages of a bundle, keyed by the worker process."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size

    def setup(self) -> None:
        self._key = f"{socket.gethostname()}-{os.getpid()}"

    def start_bundle(self) -> None:
        self._gathered: list[Message] = []

    def process(
        self, element: PubsubMessage, timestamp: Any = beam.DoFn.TimestampParam
    ) -> Iterator[tuple[str, Messages]]:
        ROWS_READ.inc()
        self._gathered.append(Message.from_beam(element))
        self._timestamp = timestamp
        if len(self._gathered) == self._batch_size:
            yield self._key, Messages(self._gathered)
            self._gathered = []

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._gathered:
            chunk = (self._key, Messages(self._gathered))
            yield GlobalWindows.windowed_value(chunk, self._timestamp)


@beam.typehints.with_input_types(tuple[str, Messages])
@beam.typehints.with_output_types(Messages)
class _BatchDoFn(beam.DoFn):
    """Merges chunks. The state never holds a whole batch."""

    CHUNKS = beam.DoFn.StateParam(BagStateSpec("chunks", MessagesCoder()))
    COUNT = beam.DoFn.StateParam(ReadModifyWriteStateSpec("count", VarIntCoder()))
    WAITED = beam.DoFn.TimerParam(TimerSpec("waited", TimeDomain.REAL_TIME))
    # A drain ends the global window, and everything in state must leave then.
    DRAINED = beam.DoFn.TimerParam(TimerSpec("window_end", TimeDomain.WATERMARK))

    def __init__(
        self,
        batch_size: int,
        max_batch_duration_ms: int,
        clock: Callable[[], Timestamp] = Timestamp.now,
    ) -> None:
        self._batch_size = batch_size
        self._longest_wait_sec = max_batch_duration_ms / 1000
        self._clock = clock

    def process(
        self,
        element: tuple[str, Messages],
        chunks: Any = CHUNKS,
        count: Any = COUNT,
        waited: Any = WAITED,
        drained: Any = DRAINED,
    ) -> Iterator[Messages]:
        _, chunk = element
        waiting = count.read() or 0
        if waiting + len(chunk) >= self._batch_size:
            everything = [*chain.from_iterable(chunks.read()), *chunk]
            _clear(chunks, count, waited)
            whole = len(everything) - len(everything) % self._batch_size
            for start in range(0, whole, self._batch_size):
                yield _count(everything[start : start + self._batch_size])
            # Everything that waited has left: the rest is from this chunk.
            chunk, waiting = Messages(everything[whole:]), 0
        if chunk:
            chunks.add(chunk)
            count.write(waiting + len(chunk))
            if not waiting:
                waited.set(self._clock() + self._longest_wait_sec)
                drained.set(GlobalWindow().max_timestamp())

    @on_timer(WAITED.timer_spec)
    @on_timer(DRAINED.timer_spec)
    def flush(
        self,
        chunks: Any = CHUNKS,
        count: Any = COUNT,
        waited: Any = WAITED,
    ) -> Iterator[Messages]:
        messages = list(chain.from_iterable(chunks.read()))
        _clear(chunks, count, waited)
        if messages:
            yield _count(messages)


def _clear(chunks: Any, count: Any, waited: Any) -> None:
    chunks.clear()
    count.clear()
    waited.clear()


def _count(messages: Iterable[Message]) -> Messages:
    batch = Messages(messages)
    BATCH_SIZES.update(len(batch))
    return batch
