"""Streaming programs that Beam's DataflowRunner submits itself, with topics at both ends."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.emulator.pubsub import find_program
from tests.streaming_job import ENDED, Job, find_processes, kill, wait_until
from tests.support import PROJECT

pytestmark = pytest.mark.skipif(
    find_program() is None, reason="Google's Pub/Sub emulator is not installed"
)

PROGRAM = Path(__file__).with_name("stream_program.py")


@pytest.fixture
def submit(lake, emulator, emulator_env, request, tmp_path) -> Iterator:
    """Submit a program on the test's topics; the job is cancelled after the test."""
    from tests.pubsub_client import Topic

    jobs = []
    with pytest.MonkeyPatch.context() as patch:  # The Pub/Sub client knows this variable only.
        patch.setenv("PUBSUB_EMULATOR_HOST", emulator_env["PUBSUB_EMULATOR_HOST"])
        prefix = re.sub(r"\W", "-", request.node.name)
        topics = [Topic(f"{prefix}-{name}") for name in ("in", "out")]

        def submit(step):
            endpoint = emulator.dataflow_endpoint.rstrip("/")
            paths = [topic.path for topic in topics]
            done = subprocess.run(
                [sys.executable, PROGRAM, step, endpoint, PROJECT, lake.root, *paths],
                # Beam leaves files in the temporary folder with every submission.
                env={**emulator_env, "TMPDIR": str(tmp_path)},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            jobs.append(Job(done.stdout.split()[-1], emulator_env))
            return jobs[-1], *topics

        yield submit
        for job in jobs:
            if job.state not in ENDED:
                job("cancel")


def find_own_subscriptions(topic) -> list[str]:
    """Return the subscriptions of a topic that are not the test's own."""
    found = topic.list_subscriptions()
    assert topic.subscription in found
    return [name for name in found if name != topic.subscription]


def count_seen(job) -> int:
    """Return the program's own counter."""
    found = re.search(r"^seen +program .* (\d+)$", job("metrics").stdout, re.MULTILINE)
    return int(found[1]) if found else 0


MESSAGES = (
    (b"one", {"id": "1", "at": "1000"}),
    (b"one again", {"id": "1", "at": "1001"}),
    (b"two", {"id": "2", "at": "1970-01-01T00:00:02.500Z"}),
    (b"three", {"at": "3000"}),
)
EXPECTED = {b"one at 1000 ms", b"two at 2500 ms", b"three at 3000 ms"}


@pytest.mark.slow
def test_a_topic_is_read_by_a_subscription_that_ends_with_the_job(submit):
    """Ids and timestamps come from the attributes; an executor that dies is replaced."""
    job, messages, output = submit("stamp")
    wait_until(lambda: find_own_subscriptions(messages), job.messages)
    (own,) = find_own_subscriptions(messages)
    assert own.endswith(f"/{messages.name}.subscription-{job.id}")
    messages.publish(MESSAGES)
    received = output.receive_until(lambda received: len(received) >= 3)
    assert {each.payload for each in received} == EXPECTED
    assert len(received) == 3, "of two messages with one id the first counts"

    seen = 3
    if find_processes("launcher.emulator.executor", job.id):  # on systems with /proc
        seen += 1
        kill("launcher.emulator.executor", job.id)
        messages.publish([(b"three", {"at": "3000"})])
        output.receive_until(lambda received: len(received) > 3)
        assert {each.payload for each in output.received} == EXPECTED
        assert find_own_subscriptions(messages) == [own], "the successor reads on"

    job.drain()
    assert count_seen(job) == seen, "what was acknowledged is counted, and once"
    wait_until(lambda: not find_own_subscriptions(messages), job.messages)


def test_batches_of_beam_are_made_at_the_drain_of_what_is_left(submit):
    job, messages, output = submit("batch")
    wait_until(lambda: find_own_subscriptions(messages), job.messages)
    messages.publish(MESSAGES)
    wait_until(lambda: count_seen(job) == 3, job.messages)
    job.drain()
    output.receive_until(lambda received: received)
    assert [each.payload for each in output.received] == [b"one three two"]


@pytest.mark.parametrize("end", [pytest.param("cancel", marks=pytest.mark.wide), "fail"])
def test_no_subscription_is_left_when_a_job_ends_badly(submit, end):
    job, messages, _ = submit("stamp")
    wait_until(lambda: find_own_subscriptions(messages), job.messages)
    if end == "cancel":
        job("cancel")
        job.wait_for("JOB_STATE_CANCELLED")
    else:
        messages.publish([(b"bad", {"at": "yesterday"})])
        job.wait_for("JOB_STATE_FAILED")
        assert "timestamp attribute 'at' 'yesterday'" in job.messages()
    wait_until(lambda: not find_own_subscriptions(messages), job.messages)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("group", "the step 'Group' groups by key"),
        pytest.param(
            "window", "the step 'Minutes' puts elements into windows", marks=pytest.mark.wide
        ),
        pytest.param(
            "timer", "the step 'Expire' has the event-time timer 'expiry'", marks=pytest.mark.wide
        ),
    ],
)
def test_what_needs_a_watermark_fails_before_anything_is_read(submit, step, reason):
    job, messages, _ = submit(step)
    job.wait_for("JOB_STATE_FAILED")
    reported = job.messages()
    assert reason in reported
    assert "Traceback" not in reported
    assert "Starting 1 worker" not in reported
    assert find_own_subscriptions(messages) == []
