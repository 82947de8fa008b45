"""The workers' log entries as job messages.

A server of the Beam Fn Logging API, to which the SDK workers send what is logged in them. On
Dataflow the entries go to Cloud Logging, which does not exist here. Therefore they become messages
of the job: warnings and errors as such, the rest as details.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from launcher.emulator.executor.beam_internals import HOST
from launcher.emulator.runtime.events import Importance, MessageEvent, Report

_MOST_PER_LINE = 50
"""The most entries that are passed on for one line of code; Dataflow limits them too."""

_Severity = beam_fn_api_pb2.LogEntry.Severity
# Code whose entries are about itself, not about the pipeline.
_HARNESS = (
    "/google/auth/",
    "apache_beam/internal/",
    "apache_beam/options/",
    "apache_beam/runners/",
)
# Harmless warnings from Beam: scipy is absent, an output has no rows.
_CHATTER = ("Resource module is not available", "No shards found to finalize")


class WorkerLogs(beam_fn_api_pb2_grpc.BeamFnLoggingServicer):  # type: ignore[misc]
    """Receives log entries of all workers of a job."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self._ended: defaultdict[str, threading.Event] = defaultdict(threading.Event)
        self._has_started = False
        self.address = ""

    @classmethod
    @contextmanager
    def serve(cls, report: Report) -> Iterator[WorkerLogs]:
        """Serve the Fn Logging API at ``address`` while the context lasts."""
        logs = cls(report)
        # A worker occupies one thread while it lives.
        server = grpc.server(ThreadPoolExecutor(max_workers=256, thread_name_prefix="worker-logs"))
        beam_fn_api_pb2_grpc.add_BeamFnLoggingServicer_to_server(logs, server)
        logs.address = f"{HOST}:{server.add_insecure_port(f'{HOST}:0')}"
        server.start()
        try:
            yield logs
        finally:
            server.stop(grace=None)

    def wait_for_end(self, worker_id: str, timeout_sec: float) -> bool:
        """Block until a worker has closed its log, its last action."""
        return self._end_of(worker_id).wait(timeout_sec)

    def Logging(  # noqa: N802 - the RPC's name
        self, request_iterator: Iterable[Any], context: grpc.ServicerContext
    ) -> Iterator[Any]:
        """Serve one worker until it closes its end."""
        self._note_started()
        yield beam_fn_api_pb2.LogControl()
        for batch in request_iterator:
            for entry in batch.log_entries:
                self._pass_on(entry)
        self._end_of(dict(context.invocation_metadata())["worker_id"]).set()

    def _end_of(self, worker_id: str) -> threading.Event:
        with self._lock:
            return self._ended[worker_id]

    def _note_started(self) -> None:
        """Report the first worker, in the service's words: a worker opens its log at once."""
        with self._lock:
            first, self._has_started = not self._has_started, True
        if first:
            self._report(MessageEvent(Importance.DETAILED, "Workers have started successfully."))

    def _pass_on(self, entry: beam_fn_api_pb2.LogEntry) -> None:
        harness = any(code in entry.log_location for code in _HARNESS)
        if harness and entry.instruction_id and entry.severity >= _Severity.ERROR:
            return  # A failed bundle; its result carries the traceback and counts as an attempt.
        with self._lock:
            self._seen[entry.log_location] += 1
            seen = self._seen[entry.log_location]
        if seen > _MOST_PER_LINE:
            return
        text = "\n".join(filter(None, (entry.message.rstrip(), entry.trace.rstrip())))
        if entry.transform_id:
            text = f"{text} [{entry.transform_id}]"
        quiet = harness or entry.message.startswith(_CHATTER)
        self._report(MessageEvent(Importance.DEBUG if quiet else _importance(entry), text))
        if seen == _MOST_PER_LINE:
            text = f"{entry.log_location} has logged {seen} times; its further entries are ignored."
            self._report(MessageEvent(Importance.DETAILED, text))


def _importance(entry: beam_fn_api_pb2.LogEntry) -> Importance:
    if entry.severity < _Severity.INFO:
        return Importance.DEBUG
    if entry.severity < _Severity.WARN:
        return Importance.DETAILED
    return Importance.WARNING if entry.severity < _Severity.ERROR else Importance.ERROR
