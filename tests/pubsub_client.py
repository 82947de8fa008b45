"""A consumer and producer for the streaming tests, using the real Pub/Sub client."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import google.pubsub_v1
from google.api_core.retry import Retry
from google.cloud import pubsub_v1
from google.pubsub_v1 import types

from tests.support import PROJECT

TIMEOUT_SEC = 120


@dataclass(frozen=True)
class Received:
    """A message as received from a subscription."""

    payload: bytes
    attributes: Mapping[str, str]

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.payload)


@dataclass
class Topic:
    """A topic with a subscription of the same name, and the messages received from it."""

    name: str
    received: list[Received] = field(default_factory=list)

    def __post_init__(self) -> None:
        transport = pubsub_v1.PublisherClient().transport
        self._publisher = google.pubsub_v1.PublisherClient(transport=transport)
        self._subscriber = pubsub_v1.SubscriberClient()
        self.create()

    def create(self) -> None:
        retry = Retry(timeout=TIMEOUT_SEC)
        self._publisher.create_topic(name=self.path, retry=retry, timeout=TIMEOUT_SEC)
        self._subscriber.create_subscription(
            name=self.subscription, topic=self.path, retry=retry, timeout=TIMEOUT_SEC
        )

    @property
    def path(self) -> str:
        return f"projects/{PROJECT}/topics/{self.name}"

    @property
    def subscription(self) -> str:
        return f"projects/{PROJECT}/subscriptions/{self.name}"

    def publish(self, messages: Iterable[tuple[bytes, Mapping[str, str]]]) -> None:
        """Publish payloads with attributes, several hundred in a request."""
        messages = list(messages)
        for start in range(0, len(messages), 500):
            # The plain protobuf messages: the wrapped ones are slow for thousands.
            request = types.PublishRequest.pb()(topic=self.path)
            for payload, attributes in messages[start : start + 500]:
                request.messages.add(data=payload, attributes=attributes)
            self._publisher.publish(types.PublishRequest.wrap(request))

    def list_subscriptions(self) -> list[str]:
        """Return the names of all subscriptions of the topic."""
        return list(self._publisher.list_topic_subscriptions(topic=self.path).subscriptions)

    def receive_until(self, done: Callable[[list[Received]], Any]) -> list[Received]:
        """Receive and acknowledge until ``done`` returns True for everything received so far."""
        deadline = time.monotonic() + TIMEOUT_SEC
        while not done(self.received):
            assert time.monotonic() < deadline, f"{len(self.received)} messages in {self.name}"
            self._receive()
        return self.received

    def _receive(self) -> None:
        response = self._subscriber.pull(
            subscription=self.subscription, max_messages=1000, timeout=30
        )
        ack_ids = []
        for each in types.PullResponse.pb(response).received_messages:
            self.received.append(Received(each.message.data, dict(each.message.attributes)))
            ack_ids.append(each.ack_id)
        if ack_ids:
            self._subscriber.acknowledge(subscription=self.subscription, ack_ids=ack_ids)
