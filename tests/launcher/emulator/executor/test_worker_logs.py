"""Log entries of workers, sent over gRPC as the SDK harness sends them."""

from __future__ import annotations

import io

import grpc
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from launcher.emulator.executor.worker_logs import WorkerLogs
from launcher.emulator.runtime.events import EventWriter, MessageEvent, read_events

Severity = beam_fn_api_pb2.LogEntry.Severity


def pass_on(*entries: beam_fn_api_pb2.LogEntry) -> list[MessageEvent]:
    """Return the job messages made from log entries, after the message of the first worker."""
    stream = io.BytesIO()
    with (
        WorkerLogs.serve(EventWriter(stream).report) as logs,
        grpc.insecure_channel(logs.address) as channel,
    ):
        stub = beam_fn_api_pb2_grpc.BeamFnLoggingStub(channel)
        batch = beam_fn_api_pb2.LogEntry.List(log_entries=entries)
        list(stub.Logging(iter([batch]), metadata=[("worker_id", "worker-1")], timeout=10))
        assert logs.wait_for_end("worker-1", 10)
    stream.seek(0)
    started, *others = (event for event in read_events(stream) if isinstance(event, MessageEvent))
    assert started == MessageEvent("JOB_MESSAGE_DETAILED", "Workers have started successfully.")
    return others


@pytest.mark.parametrize(
    ("location", "text", "importance"),
    [
        ("/template/model.py:3", "look out", "JOB_MESSAGE_WARNING"),
        ("/x/apache_beam/runners/worker/sdk_worker.py:3", "look out", "JOB_MESSAGE_DEBUG"),
        (
            "/x/apache_beam/ml/inference/base.py:2201",
            "Resource module is not available for current platform, memory usage cannot be "
            "fetched.",
            "JOB_MESSAGE_DEBUG",
        ),
        (
            "/x/apache_beam/ml/inference/base.py:1359",
            "Caught CUDA OOM during operation. Cleaning memory.",
            "JOB_MESSAGE_WARNING",
        ),
        (
            "/x/apache_beam/io/filebasedsink.py:454",
            "No shards found to finalize. num_shards: 0, skipped: 0",
            "JOB_MESSAGE_DEBUG",
        ),
        (
            "/x/apache_beam/io/filebasedsink.py:274",
            "Deleting 1 existing files in target path matching: -*-of-%(num_shards)05d",
            "JOB_MESSAGE_WARNING",
        ),
        (
            "/x/apache_beam/ml/inference/pytorch_inference.py:40",
            "Model handler specified a 'GPU' device, but GPUs are not available.",
            "JOB_MESSAGE_WARNING",
        ),
    ],
)
def test_warnings_of_code_that_talks_about_itself_are_quiet(
    location: str, text: str, importance: str
) -> None:
    entry = beam_fn_api_pb2.LogEntry(
        severity=Severity.WARN, message=text, log_location=location, instruction_id="bundle-1"
    )
    assert pass_on(entry) == [MessageEvent(importance, text)]
