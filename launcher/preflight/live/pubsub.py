"""Check that the topics and subscriptions that a job names exist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from launcher.finding import PUBSUB_MISSING, Finding, error
from launcher.preflight.live.cloud import Cloud, Missing
from launcher.preflight.subject import Launch


def check_pubsub(cloud: Cloud, launch: Launch) -> Iterator[Finding]:
    """Yield topics and subscriptions that do not exist."""
    for name, path in launch.find_parameters("PUBSUB_SUBSCRIPTION").items():
        try:
            answer = _get_subscription(cloud, path)
        except Missing:
            yield _missing(name, path, "subscriptions")
            continue
        if answer.get("topic") == "_deleted-topic_":
            yield error(
                PUBSUB_MISSING,
                f"--parameters {name}={path}: the subscription's topic was deleted",
                "Name a subscription whose topic exists.",
            )
    for name, path in launch.find_parameters("PUBSUB_TOPIC").items():
        try:
            _get_topic(cloud, path)
        except Missing:
            yield _missing(name, path, "topics")


def _get_subscription(cloud: Cloud, path: str) -> dict[str, Any]:
    return cloud.ask("pubsub", lambda api: api.projects().subscriptions().get(subscription=path))


def _get_topic(cloud: Cloud, path: str) -> dict[str, Any]:
    return cloud.ask("pubsub", lambda api: api.projects().topics().get(topic=path))


def _missing(name: str, path: str, kind: str) -> Finding:
    return error(
        PUBSUB_MISSING,
        f"--parameters {name}={path}: there is none",
        f"gcloud pubsub {kind} create {path}" + (" --topic TOPIC" * (kind == "subscriptions")),
    )
