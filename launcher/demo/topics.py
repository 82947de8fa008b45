"""Topics of the local Dataflow's Pub/Sub, each with a subscription of the same name."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NoReturn

from launcher.demo.steps import PROJECT


def create_topic(name: str) -> str:
    """Make a topic with a subscription of the same name; return the topic."""
    from google.cloud import pubsub_v1

    topic = f"projects/{PROJECT}/topics/{name}"
    pubsub_v1.PublisherClient().create_topic(name=topic)
    pubsub_v1.SubscriberClient().create_subscription(name=find_subscription(topic), topic=topic)
    return topic


def find_subscription(topic: str) -> str:
    """Return the subscription of a topic that ``create_topic`` made."""
    return topic.replace("/topics/", "/subscriptions/")


def receive(topic: str, take: Callable[[Any, float], None]) -> NoReturn:
    """Pass on each message of a topic with its time of arrival; never returns."""
    from google.api_core.exceptions import DeadlineExceeded
    from google.cloud import pubsub_v1

    subscriber = pubsub_v1.SubscriberClient()
    while True:
        try:
            response = subscriber.pull(
                subscription=find_subscription(topic), max_messages=1000, timeout=30
            )
        except DeadlineExceeded:  # nothing arrived in this time
            continue
        for each in response.received_messages:
            take(each.message, time.time())
        if response.received_messages:
            subscriber.acknowledge(
                subscription=find_subscription(topic),
                ack_ids=[each.ack_id for each in response.received_messages],
            )
