"""Streaming jobs where there is no Pub/Sub."""

from __future__ import annotations

from launcher.emulator.runtime import JobOrder


def test_without_pubsub_a_streaming_job_says_what_to_install(bench) -> None:
    order = JobOrder(
        job_id="no-pubsub",
        project_id="test-project",
        region="us-central1",
        job={"type": "JOB_TYPE_STREAMING"},
    )
    bench.runtime.execute(order)
    journal = bench.journals.wait("no-pubsub")
    assert journal.states == ["JOB_STATE_PENDING", "JOB_STATE_FAILED"]
    assert "gcloud components install pubsub-emulator" in journal.texts("JOB_MESSAGE_ERROR")
