"""Pub/Sub as the runner uses it, against Google's emulator."""

from __future__ import annotations

import contextlib
import http.client
import os
import queue
import re
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.pubsub_v1 import types

from launcher.emulator import pubsub
from launcher.emulator.executor.pubsub import (
    Committer,
    PubSub,
    Source,
    Sources,
    name_subscription,
)
from launcher.emulator.runtime.errors import WorkflowFailedError
from launcher.emulator.runtime.subscriptions import delete_subscription

PROJECT = "projects/streaming-tests"
DEADLINE_SEC = 10  # the shortest that Pub/Sub allows
TIMEOUT_SEC = 30


@contextlib.contextmanager
def serve(folder: Path):
    found = pubsub.start(port=0, folder=folder)
    if found is None:
        pytest.skip("Google's Pub/Sub emulator is not installed")
    assert found.wait() is None
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with serve(tmp_path_factory.mktemp("pubsub")) as found:
        yield found


@pytest.fixture
def client(server):
    return PubSub(server.host, lambda text: None)


def new_topic(client: PubSub, name: str) -> str:
    topic = f"{PROJECT}/topics/{name}"
    client.publisher.create_topic(name=topic)
    client.subscriber.create_subscription(
        name=f"{PROJECT}/subscriptions/{name}", topic=topic, ack_deadline_seconds=DEADLINE_SEC
    )
    return topic


def take(sources: Sources, count: int):
    taken = []
    deadline = time.monotonic() + TIMEOUT_SEC
    while sum(len(each.messages) for each in taken) < count:
        assert time.monotonic() < deadline
        taken += sources.take(count, 0.5)
    return taken


@pytest.mark.slow
def test_messages_are_pulled_committed_in_order_and_acknowledged(client):
    topic, output = new_topic(client, "ordered"), new_topic(client, "ordered-output")
    client.publisher.publish(topic=topic, messages=[{"data": b"one"}, {"data": b"two"}])
    sources = Sources(client)
    sources.start([Source("Read", f"{PROJECT}/subscriptions/ordered")])
    taken = take(sources, 2)
    committer = Committer(client, sources)
    committer.publish(output, [types.PubsubMessage(data=b"x" * 100)._pb.SerializeToString()] * 2500)
    recorded: list[str] = []
    for pulled in taken:
        committer.acknowledge(pulled.receipts, lambda: recorded.append("before"))
    committer.flush()
    assert recorded == ["before"] * len(taken)
    sources.stop_pulling()

    count = 0
    while count < 2500:
        count += len(
            client.subscriber.pull(
                subscription=f"{PROJECT}/subscriptions/ordered-output", max_messages=1000
            ).received_messages
        )
    deadline = time.monotonic() + DEADLINE_SEC + 2
    while time.monotonic() < deadline:  # Unacknowledged messages are delivered again after that.
        left = client.subscriber.pull(
            subscription=f"{PROJECT}/subscriptions/ordered", max_messages=10, timeout=20
        )
        assert not left.received_messages


def test_what_cannot_be_put_on_record_is_not_acknowledged(server):
    client = PubSub(server.host, lambda text: None)
    committer = Committer(client, Sources(client))

    def record():
        raise BrokenPipeError("nobody reads the records")

    committer.acknowledge([], record)
    for method in (committer.flush, lambda: committer.acknowledge([], lambda: None)):
        with pytest.raises(BrokenPipeError, match="nobody reads"):
            method()


def test_a_receipt_is_worth_nothing_after_a_restart(tmp_path):
    """The new emulator numbers from 1 again: an old receipt would acknowledge a new message."""
    with serve(tmp_path) as server:
        check_receipts_over_a_restart(server, PubSub(server.host, lambda text: None))


def check_receipts_over_a_restart(server, client):
    topic = new_topic(client, "restarted")
    subscription = f"{PROJECT}/subscriptions/restarted"
    client.publisher.publish(topic=topic, messages=[{"data": b"old"}])
    sources = Sources(client)
    sources.start([Source("Read", subscription)])
    (old,) = take(sources, 1)

    server._child.kill()  # It is watched, and started again.
    deadline = time.monotonic() + TIMEOUT_SEC
    while True:
        try:
            new_topic(client, "restarted")
            break
        except exceptions.GoogleAPICallError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    client.publisher.publish(topic=topic, messages=[{"data": b"new"}])
    (new,) = take(sources, 1)

    assert [each.data for each in new.messages] == [b"new"]
    assert [each.ack_id for each in new.receipts] == [each.ack_id for each in old.receipts]
    assert list(client.valid(old.receipts)) == []
    assert list(client.valid(new.receipts)) == [(subscription, [new.receipts[0].ack_id])]
    sources.stop_pulling()


def test_what_fails_is_reported_once_and_tried_again(server):
    reported = []
    client = PubSub(server.host, reported.append)
    attempts = []

    def fail_twice():
        attempts.append(1)
        if len(attempts) < 3:
            raise exceptions.ServiceUnavailable("gone fishing")
        return "done"

    assert client.try_until_done("Reading", fail_twice, threading.Event()) == "done"
    assert reported == ["Reading fails and is tried again: gone fishing"]


def test_a_subscription_of_the_job_is_made_once_and_deleted(client, server):
    topic = new_topic(client, "by-topic")
    name = name_subscription(topic, "job-1")
    assert name == f"{PROJECT}/subscriptions/by-topic.subscription-job-1"
    for _ in ("the executor", "its successor"):
        client.check_source(Source("Read", name, topic))
    assert client.subscriber.get_subscription(subscription=name).topic == topic
    for _ in ("it is there", "it is not"):
        assert delete_subscription(server.host, name) is None
    with pytest.raises(exceptions.NotFound):
        client.subscriber.get_subscription(subscription=name)


def test_a_subscription_of_the_job_is_made_again_when_the_server_has_forgotten_it(client):
    topic = new_topic(client, "forgotten")
    source = Source("Read", name_subscription(topic, "job-1"), topic)
    sources = Sources(client)
    sources.start([source])  # It was never created.
    deadline = time.monotonic() + TIMEOUT_SEC
    taken = []
    while not taken:
        assert time.monotonic() < deadline
        client.publisher.publish(topic=topic, messages=[{"data": b"x"}])
        taken = sources.take(1, 0.5)
    sources.stop_pulling()


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("subscription", Source("Read", f"{PROJECT}/subscriptions/nowhere")),
        ("topic", Source("Read", f"{PROJECT}/subscriptions/own", f"{PROJECT}/topics/nowhere")),
    ],
)
def test_what_does_not_exist_is_named(client, kind, source):
    with pytest.raises(WorkflowFailedError, match=f"gcloud pubsub {kind}s create"):
        client.check_source(source)


def test_the_program_is_found_beside_gcloud(tmp_path: Path):
    assert pubsub.find_program({"PATH": str(tmp_path)}) is None
    program = tmp_path / "sdk/platform/pubsub-emulator/bin/cloud-pubsub-emulator"
    for path in (tmp_path / "sdk/bin/gcloud", tmp_path / "sdk/bin/java", program):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
    assert pubsub.find_program({"PATH": str(tmp_path / "sdk/bin")}) == program


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_gcloud_that_is_installed_elsewhere_is_asked(tmp_path: Path):
    program = write_program(tmp_path / "sdk/platform/pubsub-emulator/bin/cloud-pubsub-emulator", "")
    write_program(tmp_path / "bin/gcloud", f"#!/bin/sh\necho {tmp_path}/sdk\n")
    environ = {"PATH": f"{tmp_path}/bin:{os.defpath}", "JAVA_HOME": "/somewhere"}
    assert pubsub.find_program(environ) == program
    write_program(tmp_path / "bin/gcloud", "#!/bin/sh\nexit 1\n")
    assert pubsub.find_program(environ) is None


def test_a_gcloud_that_does_not_answer_is_not_waited_for(tmp_path: Path):
    for name in ("gcloud", "java"):
        write_program(tmp_path / "bin" / name, "#!/bin/sh\nexec sleep 60\n")
    environ = {"PATH": f"{tmp_path}/bin:{os.defpath}"}
    assert pubsub.find_program(environ, timeout_sec=0.2) is None


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo no Java here; exit 3", "ended with status 3; its log, .*, ends: no Java here"),
        ("exec sleep 60", r"did not answer within 0\.2 s; its log, .*, ends: \(nothing\)"),
    ],
)
def test_an_emulator_that_does_not_start_is_given_up(tmp_path: Path, script: str, problem: str):
    program = write_program(tmp_path / "program", f"#!/bin/sh\n{script}\n")
    found = pubsub.PubSubEmulator(program, port=0, folder=tmp_path)
    assert re.search(problem, found.wait(timeout_sec=30 if "exit" in script else 0.2))


def test_a_log_that_is_deleted_ends_nothing(tmp_path: Path):
    program = write_program(tmp_path / "program", "#!/bin/sh\nexec sleep 60\n")
    found = pubsub.PubSubEmulator(program, port=0, folder=tmp_path)
    (tmp_path / "pubsub.log").unlink()
    assert "did not answer within 0.2 s" in found.wait(timeout_sec=0.2)


def test_a_java_that_hangs_is_waited_for_aloud(tmp_path: Path):
    program = write_program(tmp_path / "program", "#!/bin/sh\nexec sleep 60\n")
    found = pubsub.PubSubEmulator(program, port=0, folder=tmp_path)
    reported: list[str] = []
    found.wait(timeout_sec=0.5, slow_sec=0, on_slow=reported.append)
    assert reported == ["Waiting for Google's Pub/Sub emulator, 0.5 s at most."]


# The first time it ends the way Java does when its port is taken.
SECOND_TIME_LUCKY = f"""#!{sys.executable}
import http.server, pathlib, sys
first = pathlib.Path("first")
if not first.exists():
    first.touch()
    sys.exit("Address already in use")
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[2].partition("=")[2])), Answer).serve_forever()
"""


def test_a_port_that_another_program_took_is_given_up_for_another(tmp_path: Path):
    program = write_program(tmp_path / "program", SECOND_TIME_LUCKY)
    found = pubsub.PubSubEmulator(program, port=0, folder=tmp_path)
    first = found.port
    try:
        assert found.wait() is None
        assert found.port != first
        assert found.answers()
    finally:
        found.close()


def test_googles_emulator_is_started_again_when_its_port_was_taken(tmp_path: Path):
    program = pubsub.find_program()
    if program is None:
        pytest.skip("Google's Pub/Sub emulator is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = pubsub.PubSubEmulator(program, port=taken.getsockname()[1], folder=tmp_path)
        log, deadline = tmp_path / "pubsub.log", time.monotonic() + TIMEOUT_SEC
        while "java.net.BindException" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)
    try:
        assert found.wait(timeout_sec=TIMEOUT_SEC) is None
        assert found.answers()
    finally:
        found.close()


def test_a_port_that_stays_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(pubsub.PortTakenError, match=str(port)):
            pubsub.wait_for_port(port, timeout_sec=0.1)


def test_a_port_that_is_free_soon_is_waited_for():
    taken = socket.create_server(("127.0.0.1", 0))
    threading.Timer(0.3, taken.close).start()
    pubsub.wait_for_port(taken.getsockname()[1], timeout_sec=10)


# It answers once, then ends the way Java does when its memory is full.
FULL = f"""#!{sys.executable}
import http.server, os, sys
assert os.environ["CLOUD_PUBSUB_EMULATOR_OPTS"] == "-Xmx77m -XX:+ExitOnOutOfMemoryError"
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_DELETE(self):
        os._exit(3)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[2].partition("=")[2])), Answer).serve_forever()
"""


def test_a_restart_is_reported_with_its_cause(tmp_path: Path):
    program = write_program(tmp_path / "program", FULL)
    found = pubsub.PubSubEmulator(program, port=0, folder=tmp_path, heap_mb=77)
    texts: queue.Queue[str] = queue.Queue()
    found.on_restart.append(texts.put)
    try:
        assert found.wait() is None
        connection = http.client.HTTPConnection(found.host, timeout=10)
        connection.request("DELETE", "/")
        with pytest.raises(http.client.RemoteDisconnected):
            connection.getresponse()
        text = texts.get(timeout=30)
        assert text.startswith("Google's Pub/Sub emulator ended and was started again, empty")
        assert "Its memory of 77 MB was full" in text
        assert "--pubsub-heap-mb" in text
    finally:
        found.close()
