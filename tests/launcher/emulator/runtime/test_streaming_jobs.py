"""Streaming jobs without Pub/Sub."""

from __future__ import annotations


def test_without_pubsub_a_streaming_job_says_what_to_install(bench) -> None:
    bench.runner.execute("no-pubsub", {"type": "JOB_TYPE_STREAMING"})
    journal = bench.journals.wait("no-pubsub")
    assert journal.states == ["JOB_STATE_PENDING", "JOB_STATE_FAILED"]
    assert "gcloud components install pubsub-emulator" in journal.texts("JOB_MESSAGE_ERROR")
