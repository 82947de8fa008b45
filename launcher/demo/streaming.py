"""``make demo-streaming``: images published at a rate, predictions as they arrive.

Starts the local Dataflow with Google's Pub/Sub emulator, launches the streaming template, publishes
the demo's images and some messages that hold none, shows the replies, drains the job and reports
what became of every message. A separate process runs what needs torch.
"""

from __future__ import annotations

import gzip
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from launcher import Dataflow, FlexpackError, InputError, RowCounts, wait_for_job
from launcher.commands.parser import CommandParser, Number
from launcher.demo.steps import (
    BUCKET,
    IMAGES,
    LABELS,
    PROJECT,
    REGION,
    WEIGHTS,
    CommandFailedError,
    draw_garments,
    run_flexpack,
    stage,
    start_emulator,
)
from launcher.demo.topics import create_topic, find_subscription, receive
from launcher.extras import require_extras

_SPEC = f"gs://{BUCKET}/templates/streaming.json"
_IMAGE_BYTES = 28 * 28
_PIXELS = "application/octet-stream"
"""The content type of raw pixels."""
_POISON_EVERY = 500
_TIMEOUT_SEC = 120.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit status."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--rate", type=Number(0.1, float), default=100.0, help="images a second")
    parser.add_argument(
        "--seconds", type=Number(1, float), default=20.0, help="how long to publish images"
    )
    parser.add_argument("--port", default="9100", help="of the local Dataflow, if none is running")
    try:
        arguments = parser.parse_args(argv)
        return _run_demo(arguments.rate, arguments.seconds, arguments.port)
    except CommandFailedError as error:
        return error.exit_status
    except FlexpackError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_status


def _run_demo(rate: float, seconds: float, port: str) -> int:
    require_extras("the demo", "template", "emulator")
    draw_garments()
    emulator = start_emulator(port)
    if emulator.pubsub_host is None:
        raise InputError(f"demo-streaming cannot run: {emulator.pubsub_problem}")

    job_name = f"garments-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    topics = {name: create_topic(f"{job_name}-{name}") for name in ("images", "out", "dead")}
    weights = stage(str(WEIGHTS))
    run_flexpack("build", _SPEC, "--template=streaming", "--image=local/flexpack")
    run_flexpack(
        *("run", job_name, f"--template-file-gcs-location={_SPEC}"),
        *(f"--project={PROJECT}", f"--region={REGION}"),
        f"--staging-location=gs://{BUCKET}/staging",
        f"--parameters=input_subscription={find_subscription(topics['images'])}",
        f"--parameters=output_topic={topics['out']}",
        f"--parameters=dead_letter_topic={topics['dead']}",
        f"--parameters=model_path={weights}",
    )
    dataflow = Dataflow(PROJECT, REGION)
    (job,) = dataflow.list(name=job_name)
    ledger = _Ledger()
    for topic, take in ((topics["out"], ledger.take_reply), (topics["dead"], ledger.take_letter)):
        threading.Thread(target=receive, args=(topic, take), daemon=True).start()
    publisher = _Publisher(topics["images"], ledger)
    _warm_up(dataflow, job.id, publisher, ledger)

    _publish_and_show(publisher, ledger, rate, int(rate * seconds))
    # A drain leaves unread messages for the next job on the subscription.
    ledger.wait_for_all()
    run_flexpack("jobs", "drain", job.id, f"--project={PROJECT}", f"--region={REGION}")
    drained = wait_for_job(dataflow, job.id, timeout_sec=_TIMEOUT_SEC)
    counts = RowCounts.from_metrics(dataflow.metrics(job.id))
    lost = ledger.lost()
    print(f"\njob            {job.id}")
    print(f"state          {drained.current_state}")
    print(
        f"job's counts   {counts.rows_read:,} read, {counts.predictions:,} predicted, "
        f"{counts.dead_letters:,} dead-lettered (with one message to warm up)"
    )
    print(
        f"messages       {len(ledger.published):,} published = {len(ledger.replies):,} predicted "
        f"+ {len(ledger.letters):,} dead letters + {len(lost):,} lost; "
        f"{ledger.duplicates:,} came twice"
    )
    print(f"latency        {ledger.describe_latency()}")
    if ledger.right is not None:
        print(f"accuracy       {ledger.right / len(ledger.replies):.3f}")
    return 1 if lost else 0


@dataclass
class _Ledger:
    """What became of every message; filled by the threads that publish and receive."""

    published: dict[str, float] = field(default_factory=dict)
    replies: dict[str, float] = field(default_factory=dict)
    letters: dict[str, str] = field(default_factory=dict)
    duplicates: int = 0
    right: int | None = None

    def take_reply(self, message: Any, now: float) -> None:
        import orjson

        number = message.attributes["number"]
        if number in self.replies or number not in self.published:
            self.duplicates += number in self.replies
            return
        self.replies[number] = (now - self.published[number]) * 1000
        right = orjson.loads(message.data)["class_index"] == int(message.attributes["label"])
        self.right = (self.right or 0) + right

    def take_letter(self, message: Any, now: float) -> None:
        number = message.attributes["number"]
        self.duplicates += number in self.letters
        self.letters[number] = message.data.decode()

    def lost(self) -> set[str]:
        return set(self.published) - set(self.replies) - set(self.letters)

    def wait_for_all(self) -> None:
        deadline = time.monotonic() + _TIMEOUT_SEC
        while self.lost() and time.monotonic() < deadline:
            time.sleep(0.1)

    def describe_latency(self) -> str:
        latencies = sorted(self.replies.copy().values())
        if not latencies:
            return "no predictions yet"
        p99 = latencies[int(len(latencies) * 0.99)]
        return f"p50 {statistics.median(latencies):.0f} ms, p99 {p99:.0f} ms"


class _Publisher:
    """Publishes numbered images and records the times."""

    def __init__(self, topic: str, ledger: _Ledger) -> None:
        from google.cloud import pubsub_v1

        self._client = pubsub_v1.PublisherClient()
        self._topic = topic
        self._ledger = ledger

    def publish(self, number: str, payload: bytes, label: int, content_type: str = _PIXELS) -> None:
        self._ledger.published[number] = time.time()
        attributes = {"number": number, "label": str(label), "content_type": content_type}
        self._client.publish(self._topic, payload, **attributes)


def _warm_up(dataflow: Dataflow, job_id: str, publisher: _Publisher, ledger: _Ledger) -> None:
    """Publish one image and wait for its prediction, which shows that the workers run."""
    print("\nwaiting for the first prediction", flush=True)
    number = "first"
    for pixels, label in _read_images(1):
        publisher.publish(number, pixels, label)
    deadline = time.monotonic() + _TIMEOUT_SEC
    while number not in ledger.replies:
        state = dataflow.get(job_id).current_state
        if number in ledger.letters:
            raise FlexpackError(f"the first image is a dead letter: {ledger.letters[number]}")
        if time.monotonic() > deadline or state.is_terminal:
            raise FlexpackError(
                f"no prediction came; the job is in {state}: flexpack jobs messages {job_id}"
            )
        time.sleep(0.2)
    del ledger.published[number], ledger.replies[number]
    ledger.right = None


def _publish_and_show(publisher: _Publisher, ledger: _Ledger, rate: float, count: int) -> None:
    start = time.time()
    shown = 0.0
    for place, (pixels, label) in enumerate(_read_images(count)):
        time.sleep(max(0.0, start + place / rate - time.time()))
        if place % _POISON_EVERY == _POISON_EVERY - 1:
            publisher.publish(str(place), b'{"this": "is not an image"}', label, "application/json")
        else:
            publisher.publish(str(place), pixels, label)
        if time.time() - shown >= 1 or place == count - 1:
            shown = time.time()
            seconds = max(shown - start, 1e-9)
            print(
                f"{seconds:5.0f} s  published {place + 1:6,}  predicted {len(ledger.replies):6,} "
                f"({len(ledger.replies) / seconds:5.0f} a second)  dead letters "
                f"{len(ledger.letters):3,}  latency {ledger.describe_latency()}",
                flush=True,
            )


def _read_images(count: int) -> Iterator[tuple[bytes, int]]:
    """Yield pixels and label of the demo's images, starting again after the last."""
    images = gzip.decompress(IMAGES.read_bytes())[16:]
    labels = gzip.decompress(LABELS.read_bytes())[8:]
    for number in range(count):
        row = number % len(labels)
        yield images[row * _IMAGE_BYTES : (row + 1) * _IMAGE_BYTES], labels[row]


if __name__ == "__main__":
    sys.exit(main())
