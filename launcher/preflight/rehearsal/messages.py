"""The messages of a rehearsed streaming job: published on local topics, replies collected.

Speaks to Google's Pub/Sub emulator over REST.
https://cloud.google.com/pubsub/docs/reference/rest
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

from launcher.errors import FlexpackError, InputError

_LINE_FORMATS = (".jsonl", ".ndjson", ".json", ".txt")
_MOST_MESSAGES = 1000
_LARGEST_MESSAGE_BYTES = 10_000_000  # https://cloud.google.com/pubsub/quotas
_BATCH = 100


def read_messages(paths: Sequence[str]) -> list[bytes]:
    """Return the payloads in files: each line of files such as ``.jsonl``, and other files whole.

    Raises:
        InputError: a file cannot be read or is empty, or a message is too large for Pub/Sub.
    """
    payloads: list[bytes] = []
    for path in paths:
        try:
            content = Path(path).read_bytes()
        except OSError as problem:
            raise InputError(f"--sample {path!r}: {problem.strerror}") from problem
        is_lines = path.endswith(_LINE_FORMATS)
        found = [line for line in content.splitlines() if line.strip()] if is_lines else [content]
        if not any(found):
            expected = "one message per line, or an image"
            raise InputError(f"--sample {path!r}: is empty; expected {expected}")
        payloads += found
    for payload in payloads:
        if len(payload) > _LARGEST_MESSAGE_BYTES:
            raise InputError(
                f"--sample: a message of {len(payload) / 1e6:.0f} MB, but Pub/Sub accepts at most "
                f"{_LARGEST_MESSAGE_BYTES // 1_000_000} MB. Pass image files, or files with one "
                "message per line"
            )
    return payloads[:_MOST_MESSAGES]


class LocalTopics:
    """Topics and subscriptions of one rehearsal.

    Args:
        host: ``HOST:PORT`` of the Pub/Sub emulator.
    """

    def __init__(self, host: str, project: str, *, timeout_sec: float = 10.0) -> None:
        self._base = f"http://{host}/v1/"
        self._parent = f"projects/{project}"
        self._timeout_sec = timeout_sec
        self._session = requests.Session()
        self._session.trust_env = False
        self._replies: dict[str, list[bytes]] = {}

    def publish(self, name: str, payloads: Sequence[bytes]) -> str:
        """Create a topic and its subscription, publish to it, and return the subscription."""
        topic, subscription = self._create(name)
        for start in range(0, len(payloads), _BATCH):
            batch = payloads[start : start + _BATCH]
            messages = [{"data": base64.b64encode(payload).decode()} for payload in batch]
            self._call("POST", f"{topic}:publish", {"messages": messages})
        return subscription

    def listen(self, name: str) -> str:
        """Create a topic whose messages are kept, and return it."""
        topic, subscription = self._create(name)
        self._replies[subscription] = []
        return topic

    def take_replies(self) -> list[bytes]:
        """Return everything published so far on the output topics."""
        for subscription, taken in self._replies.items():
            taken += self._pull(subscription)
        return [payload for taken in self._replies.values() for payload in taken]

    def _create(self, name: str) -> tuple[str, str]:
        topic = f"{self._parent}/topics/rehearsal-{name}"
        subscription = f"{self._parent}/subscriptions/rehearsal-{name}"
        self._call("PUT", topic, {})
        self._call("PUT", subscription, {"topic": topic, "ackDeadlineSeconds": 60})
        return topic, subscription

    def _pull(self, subscription: str) -> Iterator[bytes]:
        question = {"maxMessages": _MOST_MESSAGES, "returnImmediately": True}
        while received := self._call("POST", f"{subscription}:pull", question).get(
            "receivedMessages"
        ):
            ids = [message["ackId"] for message in received]
            self._call("POST", f"{subscription}:acknowledge", {"ackIds": ids})
            for message in received:
                yield base64.b64decode(message["message"].get("data", ""))

    def _call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            response = self._session.request(
                method, self._base + path, json=body, timeout=self._timeout_sec
            )
            response.raise_for_status()
            answer: dict[str, Any] = response.json()
        except requests.RequestException as problem:
            raise FlexpackError(f"--rehearse: Pub/Sub emulator: {problem}") from problem
        return answer
