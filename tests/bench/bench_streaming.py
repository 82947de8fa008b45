"""Measures messages a second and latency of the streaming template on the local Dataflow.

``python tests/bench/bench_streaming.py`` starts its own local Dataflow with Google's Pub/Sub
emulator and measures two runs of the Fashion-MNIST model end to end, from publishing an image to
receiving its prediction by another client: a backlog at full speed, and a steady trickle.
Everything runs on this machine, including the publisher and the consumer.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from launcher import (
    Dataflow,
    EnvironmentOptions,
    LaunchConfig,
    build_container_spec,
    build_environment,
    build_launch_request,
    build_template_metadata,
    upload_spec,
    wait_for_job,
)
from launcher.emulator import daemon
from template.demo.garments import draw_garments
from template.parameters import STREAMING

PROJECT = "flexpack-bench"
REGION = "us-central1"
INPUT = f"projects/{PROJECT}/topics/images"
INPUT_SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/images"
OUTPUT = f"projects/{PROJECT}/topics/predictions"
OUTPUT_SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/predictions"
_IMAGES = 1000
_TIMEOUT_SEC = 180


@dataclass(frozen=True)
class Reply:
    """A prediction as it was received; times in seconds since 1970."""

    number: int
    published: float
    received: float

    @property
    def latency_ms(self) -> float:
        return (self.received - self.published) * 1000


class PubSubClient:
    """Publishes numbered images and receives their predictions, with raw requests."""

    def __init__(self, images: np.ndarray) -> None:
        import google.pubsub_v1
        from google.cloud import pubsub_v1

        # The generated client below the one that batches, so that a request is sent as it is.
        transport = pubsub_v1.PublisherClient().transport
        self._publisher = google.pubsub_v1.PublisherClient(transport=transport)
        self._subscriber = pubsub_v1.SubscriberClient()
        self._images = images
        for topic, subscription in ((INPUT, INPUT_SUBSCRIPTION), (OUTPUT, OUTPUT_SUBSCRIPTION)):
            self._publisher.create_topic(name=topic)
            self._subscriber.create_subscription(name=subscription, topic=topic)

    def publish(self, numbers: Iterator[int] | range) -> None:
        """Publish images in one request, as pixels with the number and the time as attributes."""
        from google.cloud.pubsub_v1 import types

        request = types.PublishRequest.pb()(topic=INPUT)
        for number in numbers:
            message = request.messages.add()
            message.data = self._images[number % len(self._images)].tobytes()
            message.attributes["number"] = str(number)
            message.attributes["published"] = repr(time.time())
            message.attributes["content_type"] = "application/octet-stream"
        self._publisher.publish(types.PublishRequest.wrap(request))

    def receive(self, wanted: int) -> list[Reply]:
        """Block until predictions of ``wanted`` different images have arrived."""
        from google.cloud.pubsub_v1 import types

        replies: dict[int, Reply] = {}
        deadline = time.monotonic() + _TIMEOUT_SEC
        while len(replies) < wanted:
            if time.monotonic() > deadline:
                sys.exit(f"only {len(replies)} of {wanted} predictions came in {_TIMEOUT_SEC} s")
            response = self._subscriber.pull(
                subscription=OUTPUT_SUBSCRIPTION, max_messages=1000, timeout=30
            )
            now = time.time()
            received = types.PullResponse.pb(response).received_messages
            for each in received:
                attributes = each.message.attributes
                number = int(attributes["number"])
                replies.setdefault(number, Reply(number, float(attributes["published"]), now))
            if received:
                self._subscriber.acknowledge(
                    subscription=OUTPUT_SUBSCRIPTION, ack_ids=[each.ack_id for each in received]
                )
        return list(replies.values())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=20_000, help="of the backlog")
    parser.add_argument("--rate", type=float, default=40.0, help="messages a second of the trickle")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long it trickles")
    parser.add_argument("--max-batch-duration-ms", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        info = daemon.start_detached(
            daemon.EmulatorOptions(port=0, storage_port=0, data_dir=Path(folder))
        )
        try:
            if info.pubsub_port is None:
                sys.exit("Google's Pub/Sub emulator is not installed; see the README")
            os.environ.update(daemon.shell_variables(info, project=PROJECT))
            _measure(arguments, Path(folder))
        finally:
            daemon.stop(Path(folder))


def _measure(arguments: argparse.Namespace, folder: Path) -> None:
    images, _ = draw_garments(_IMAGES, seed=1)
    client = PubSubClient(images)
    dataflow = Dataflow(PROJECT, REGION)
    job = _launch(dataflow, arguments.max_batch_duration_ms, folder)
    client.publish(range(1))
    client.receive(1)  # the workers are up and the model is loaded

    numbers = range(1, 1 + arguments.messages)
    start = time.time()
    publisher = threading.Thread(target=_publish_all, args=(client, numbers))
    publisher.start()
    replies = client.receive(len(numbers))
    seconds = max(each.received for each in replies) - start
    publisher.join()
    print(f"backlog    {len(numbers):,} messages in {seconds:.1f} s: "
          f"{len(numbers) / seconds:,.0f} predictions a second")  # fmt: skip

    count = int(arguments.rate * arguments.seconds)
    numbers = range(numbers.stop, numbers.stop + count)
    publisher = threading.Thread(target=_trickle, args=(client, numbers, arguments.rate))
    publisher.start()
    replies = client.receive(count)
    publisher.join()
    latencies = sorted(each.latency_ms for each in replies)
    p99 = latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))]
    limit = arguments.max_batch_duration_ms + 300
    print(f"trickle    {count:,} messages at {arguments.rate:g} a second: latency "
          f"p50 {statistics.median(latencies):.0f} ms, p99 {p99:.0f} ms "
          f"(max_batch_duration_ms + 300 = {limit})")  # fmt: skip

    dataflow.drain(job)
    drained = wait_for_job(dataflow, job, timeout_sec=_TIMEOUT_SEC)
    sizes = [
        metric.distribution
        for metric in dataflow.metrics(job)
        if metric.name.name == "batch_size" and not metric.is_tentative
    ]
    print(f"job        {drained.current_state}; size of batches {json.dumps(*sizes)}")


def _publish_all(client: PubSubClient, numbers: range) -> None:
    for start in range(numbers.start, numbers.stop, 500):
        client.publish(range(start, min(start + 500, numbers.stop)))


def _trickle(client: PubSubClient, numbers: range, rate: float) -> None:
    start = time.monotonic()
    for place, number in zip(itertools.count(), numbers):
        time.sleep(max(0.0, start + place / rate - time.monotonic()))
        client.publish(range(number, number + 1))


def _launch(dataflow: Dataflow, max_batch_duration_ms: int, folder: Path) -> str:
    import torch
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    from template.models.fashion_mnist_network import FashionMnistNetwork

    weights = folder / "weights.pth"
    torch.save(FashionMnistNetwork().state_dict(), weights)
    bucket = storage.Client(project=PROJECT, credentials=AnonymousCredentials()).create_bucket(
        "flexpack-bench"
    )
    bucket.blob("weights.pth").upload_from_filename(weights)
    spec = build_container_spec(
        image="local/flexpack",
        metadata=build_template_metadata(STREAMING),
        default_environment=build_environment(
            EnvironmentOptions(staging_location="gs://flexpack-bench/staging")
        ),
    )
    upload_spec(spec, "gs://flexpack-bench/streaming.json")
    request = build_launch_request(
        LaunchConfig(
            job_name="bench",
            template_file_gcs_location="gs://flexpack-bench/streaming.json",
            project=PROJECT,
            region=REGION,
            parameters={
                "input_subscription": INPUT_SUBSCRIPTION,
                "output_topic": OUTPUT,
                "model_path": "gs://flexpack-bench/weights.pth",
                "max_batch_duration_ms": str(max_batch_duration_ms),
            },
        )
    )
    return dataflow.launch(request).id


if __name__ == "__main__":
    main()
