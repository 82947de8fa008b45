"""Reads and writes Pub/Sub for the runner, through the API of Google's Pub/Sub emulator.

Reading: every subscription has a thread that pulls ahead; leases of unacknowledged messages are
extended. Writing: one thread publishes and acknowledges in the order of the commits, so that no
message is acknowledged before all of its results are published. Both wait and try again if the
server does not answer.
https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1
"""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.api_core import exceptions
from google.pubsub_v1 import PublisherClient, SubscriberClient, types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from launcher.emulator.runtime.errors import WorkflowFailedError

_PULLED_AT_ONCE = 1000
_PULLED_AHEAD = 40  # pulls; the emulator gives at most 100 messages with each
_PULL_TIMEOUT_SEC = 20.0
_CALL_TIMEOUT_SEC = 30.0
_COMMITS_AHEAD = 8
_PUBLISHED_AT_ONCE = 1000
_PUBLISHED_BYTES = 8 << 20  # a request has at most 10 MB
_ACKNOWLEDGED_AT_ONCE = 2500
_LEASE_SEC = 15
_LEASE_PERIOD_SEC = 3.0
_RETRY_SEC = 0.5


@dataclass(frozen=True)
class Source:
    """A read step's subscription, and its topic if the job made the subscription."""

    step: str
    subscription: str
    topic: str | None = None


@dataclass(frozen=True)
class Receipt:
    """The receipt of one message, valid for the connection on which it arrived.

    The emulator numbers its receipts from 1 and forgets everything when it ends: an old receipt
    would acknowledge another message.
    """

    subscription: str
    ack_id: str
    connection: int


@dataclass(frozen=True)
class Pulled:
    """Messages of one pull, and the read step that they are for."""

    step: str
    messages: Sequence[Any]
    receipts: Sequence[Receipt]


class PubSub:
    """The connection; thread-safe."""

    def __init__(self, host: str, warn: Callable[[str], None]) -> None:
        channel = grpc.insecure_channel(
            host,
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 1000),
            ],
        )
        self.subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        self.publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        self._warn = warn
        self._reported: set[str] = set()
        self._lock = threading.Lock()
        self.connection = 0
        self._connected = False
        channel.subscribe(self._count_connections)

    def try_until_done(self, what: str, call: Callable[[], Any], stopped: threading.Event) -> Any:
        """Call until it succeeds or ``stopped`` is set, and return its result.

        Reports each kind of error once.
        """
        while not stopped.is_set():
            try:
                return call()
            except exceptions.GoogleAPICallError as error:
                self._warn_once(f"{what} fails and is tried again: {error.message}")
            stopped.wait(_RETRY_SEC)
        return None

    def _count_connections(self, state: grpc.ChannelConnectivity) -> None:
        connected = state is grpc.ChannelConnectivity.READY
        if self._connected and not connected:
            self.connection += 1
        self._connected = connected

    def _warn_once(self, text: str) -> None:
        with self._lock:
            known = text in self._reported
            self._reported.add(text)
        if not known:
            self._warn(text)

    def valid(self, receipts: Iterable[Receipt]) -> Iterator[tuple[str, list[str]]]:
        """Yield subscriptions with the ack ids that are still valid."""
        ack_ids: dict[str, list[str]] = {}
        for receipt in receipts:
            if receipt.connection == self.connection:
                ack_ids.setdefault(receipt.subscription, []).append(receipt.ack_id)
        for subscription, every in ack_ids.items():
            for start in range(0, len(every), _ACKNOWLEDGED_AT_ONCE):
                yield subscription, every[start : start + _ACKNOWLEDGED_AT_ONCE]

    def check_topic(self, step: str, topic: str) -> None:
        """
        Raises:
            WorkflowFailedError: there is no such topic.
        """
        try:
            self.publisher.get_topic(topic=topic, timeout=_CALL_TIMEOUT_SEC)
        except exceptions.NotFound as error:
            raise _missing(step, topic) from error

    def check_source(self, source: Source) -> None:
        """Check that a subscription exists; create the job's own.

        Raises:
            WorkflowFailedError: there is no such subscription, or no such topic.
        """
        try:
            if source.topic is None:
                self.subscriber.get_subscription(
                    subscription=source.subscription, timeout=_CALL_TIMEOUT_SEC
                )
            else:
                self.make_subscription(source)
        except exceptions.NotFound as error:
            raise _missing(source.step, source.topic or source.subscription) from error

    def make_subscription(self, source: Source) -> None:
        """Make the job's own subscription, unless an earlier executor made it."""
        with suppress(exceptions.AlreadyExists):
            self.subscriber.create_subscription(
                name=source.subscription, topic=source.topic, timeout=_CALL_TIMEOUT_SEC
            )


class Sources:
    """Pulls from a job's subscriptions and extends the leases of pulled messages."""

    def __init__(self, pubsub: PubSub) -> None:
        self._pubsub = pubsub
        self._pulled: queue.Queue[Pulled] = queue.Queue(_PULLED_AHEAD)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._leases: dict[Receipt, float] = {}

    def start(self, sources: Iterable[Source]) -> None:
        """Start to pull."""
        for source in sources:
            threading.Thread(target=self._pull, args=(source,), daemon=True).start()
        threading.Thread(target=self._extend, daemon=True).start()

    def take(self, most: int, timeout_sec: float) -> list[Pulled]:
        """Return about ``most`` pulled messages; block for the first one."""
        taken: list[Pulled] = []
        count = 0
        try:
            while count < most:
                taken.append(self._pulled.get(timeout=0 if taken else max(0.0, timeout_sec)))
                count += len(taken[-1].messages)
        except queue.Empty:
            pass
        return taken

    def stop_pulling(self) -> None:
        """Stop pulling; pulled messages can still be taken."""
        self._stopped.set()

    def forget(self, receipts: Iterable[Receipt]) -> None:
        """End the leases of messages that are acknowledged."""
        with self._lock:
            for receipt in receipts:
                self._leases.pop(receipt, None)

    def _pull(self, source: Source) -> None:
        subscription = source.subscription

        def pull() -> tuple[int, Any]:
            connection = self._pubsub.connection
            try:
                response = self._pubsub.subscriber.pull(
                    subscription=subscription,
                    max_messages=_PULLED_AT_ONCE,
                    retry=None,
                    timeout=_PULL_TIMEOUT_SEC,
                )
            except exceptions.DeadlineExceeded:
                return connection, ()  # nothing came
            except exceptions.NotFound:
                if source.topic is not None:  # The server has forgotten it: it was restarted.
                    self._pubsub.make_subscription(source)
                raise
            return connection, types.PullResponse.pb(response).received_messages

        while not self._stopped.is_set():
            pulled = self._pubsub.try_until_done(f"Reading {subscription}", pull, self._stopped)
            if pulled is None:
                return
            connection, messages = pulled
            receipts = [Receipt(subscription, each.ack_id, connection) for each in messages]
            if self._stopped.is_set():
                self._modify_leases(receipts, 0)  # Other subscribers may receive them at once.
            elif messages:
                now = time.monotonic()
                with self._lock:
                    self._leases.update(dict.fromkeys(receipts, now))
                self._pulled.put(Pulled(source.step, [each.message for each in messages], receipts))

    def _extend(self) -> None:
        while True:
            time.sleep(_LEASE_PERIOD_SEC)
            oldest = time.monotonic() - _LEASE_PERIOD_SEC
            with self._lock:
                old = [receipt for receipt, since in self._leases.items() if since <= oldest]
            self._modify_leases(old, _LEASE_SEC)

    def _modify_leases(self, receipts: Iterable[Receipt], seconds: int) -> None:
        for subscription, ack_ids in self._pubsub.valid(receipts):
            # If it fails they are delivered again, which is allowed; pulling reports it.
            with suppress(exceptions.GoogleAPICallError):
                self._pubsub.subscriber.modify_ack_deadline(
                    subscription=subscription,
                    ack_ids=ack_ids,
                    ack_deadline_seconds=seconds,
                    retry=None,
                    timeout=_CALL_TIMEOUT_SEC,
                )


def name_subscription(topic: str, job_id: str) -> str:
    """Return the subscription through which a job reads a topic.

    All executors of the job share it, so a second one continues where the first ended.
    """
    _, project, _, name = topic.split("/")
    return f"projects/{project}/subscriptions/{name}.subscription-{job_id}"


class Committer:
    """Publishes and acknowledges, in the order of the calls.

    A permanent error other than a lost connection ends it: it publishes and acknowledges nothing
    more, and every method raises that error.
    """

    def __init__(self, pubsub: PubSub, sources: Sources) -> None:
        self._pubsub = pubsub
        self._sources = sources
        self._failure: Exception | None = None
        self._commits: queue.Queue[Callable[[], None]] = queue.Queue(_COMMITS_AHEAD)
        self._never = threading.Event()
        threading.Thread(target=self._work, daemon=True).start()

    def publish(self, topic: str, messages: Sequence[bytes]) -> None:
        """Publish serialized ``PubsubMessage``s; blocks while many are waiting."""
        self._add(lambda: self._publish(topic, messages))

    def acknowledge(self, receipts: Sequence[Receipt], record: Callable[[], None]) -> None:
        """Acknowledge messages once everything queued before is published.

        Args:
            record: called immediately before, to record what would otherwise be lost.
        """
        self._add(lambda: self._acknowledge(receipts, record))

    def flush(self) -> None:
        """Block until everything is done."""
        self._commits.join()
        self._raise_failure()

    def _add(self, commit: Callable[[], None]) -> None:
        self._raise_failure()
        self._commits.put(commit)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while True:
            commit = self._commits.get()
            try:
                if self._failure is None:
                    commit()
            except Exception as error:
                self._failure = error
            finally:
                self._commits.task_done()

    def _publish(self, topic: str, messages: Sequence[bytes]) -> None:
        for some in _cut(messages):
            request = types.PublishRequest.pb()(topic=topic)
            request.messages.extend(types.PubsubMessage.pb().FromString(each) for each in some)
            publish = functools.partial(
                self._pubsub.publisher.publish,
                types.PublishRequest.wrap(request),
                retry=None,
                timeout=_CALL_TIMEOUT_SEC,
            )
            self._pubsub.try_until_done(f"Publishing to {topic}", publish, self._never)

    def _acknowledge(self, receipts: Sequence[Receipt], record: Callable[[], None]) -> None:
        record()
        # Only one attempt, because a message whose acknowledgement fails is delivered again.
        for subscription, ack_ids in self._pubsub.valid(receipts):
            with suppress(exceptions.GoogleAPICallError):
                self._pubsub.subscriber.acknowledge(
                    subscription=subscription,
                    ack_ids=ack_ids,
                    retry=None,
                    timeout=_CALL_TIMEOUT_SEC,
                )
        self._sources.forget(receipts)


def _missing(step: str, resource: str) -> WorkflowFailedError:
    kind = "subscription" if "/subscriptions/" in resource else "topic"
    return WorkflowFailedError(
        f"the step {step!r} needs the {kind} {resource}, and there is no "
        f"such {kind} in the local Pub/Sub. Create it with 'gcloud pubsub {kind}s create' "
        "and launch again."
    )


def _cut(messages: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    """Split messages into requests that Pub/Sub accepts."""
    some: list[bytes] = []
    size = 0
    for message in messages:
        if some and (len(some) == _PUBLISHED_AT_ONCE or size + len(message) > _PUBLISHED_BYTES):
            yield some
            some, size = [], 0
        some.append(message)
        size += len(message)
    if some:
        yield some
