"""Bundles: work for SDK workers, retried when it fails.

Takes the place of FnApiRunner's own bundle managers, which give up at the first exception and hang
when a worker dies. A failed attempt has no effect: its outputs are dropped, its metrics do not
count, and user state is restored. As on Dataflow, work that has failed four times fails a batch
job, and a streaming job attempts it until it succeeds.
https://cloud.google.com/dataflow/docs/pipeline-lifecycle#error_and_exception_handling
"""

from __future__ import annotations

import functools
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner import execution, worker_handlers

from launcher.emulator.executor.beam_internals import state_restored_on_error
from launcher.emulator.executor.workers import BUNDLE_ID_PREFIX, Worker, WorkerDiedError

MAX_ATTEMPTS = 4
_LONGEST_PAUSE_SEC = 5.0

_T = TypeVar("_T")
_Request: TypeAlias = beam_fn_api_pb2.InstructionRequest
_Response: TypeAlias = beam_fn_api_pb2.InstructionResponse
_Elements: TypeAlias = beam_fn_api_pb2.Elements.Data | beam_fn_api_pb2.Elements.Timers
# Encoded elements by the transform that reads them, or by (transform, timer family).
_Inputs = Mapping[Any, Iterable[bytes]]


class BundleFailedError(Exception):
    """An attempt at a bundle raised on the worker; the message is the worker's traceback."""


class WorkItemFailedError(Exception):
    """No attempt at a bundle succeeded; the cause is the last one's error."""


class BundleObserver(Protocol):
    """Records the outcome of bundles, from several threads."""

    def begin(self, bundle_id: str, worker: Worker) -> None: ...

    def succeeded(self, bundle_id: str, response: _Response) -> None: ...

    def failed(self, bundle_id: str, worker: Worker, attempt: int, error: Exception) -> None: ...


@dataclass(frozen=True)
class _Work:
    """One worker's share of a stage's input."""

    data: _Inputs
    timers: _Inputs


@dataclass(frozen=True)
class Outcome:
    """The result of a bundle: its response, and the encoded elements and timers that it made."""

    response: _Response
    outputs: Sequence[_Elements]


class BundleManager:
    """Executes the bundles of one stage; has the interface of FnApiRunner's bundle managers."""

    def __init__(
        self,
        stage: execution.BundleContextManager,
        *,
        observer: BundleObserver,
        cache_tokens: Iterator[beam_fn_api_pb2.ProcessBundleRequest.CacheToken],
        max_attempts: int | None = MAX_ATTEMPTS,
    ) -> None:
        self._stage = stage
        self._observer = observer
        self._cache_tokens = cache_tokens
        self._max_attempts = max_attempts

    def process_bundle(
        self,
        inputs: Mapping[str, execution.PartitionableBuffer],
        expected_outputs: Mapping[str, bytes],
        fired_timers: Mapping[tuple[str, str], execution.PartitionableBuffer],
        expected_output_timers: Mapping[tuple[str, str], tuple[bytes, Any]],
        dry_run: bool = False,
    ) -> tuple[_Response, list[Any]]:
        """Execute a bundle and put its output into the stage's buffers.

        Returns:
            The merged response, and no splits.

        Raises:
            WorkItemFailedError: a share failed too often.
        """
        outcome = self.execute(inputs, expected_outputs, fired_timers, expected_output_timers)
        for output in outcome.outputs:
            if isinstance(output, beam_fn_api_pb2.Elements.Timers):
                timer = (output.transform_id, output.timer_family_id)
                self._timer_buffer(expected_output_timers[timer][0], timer[0]).append(output.timers)
            else:
                buffer_id = expected_outputs[output.transform_id]
                self._stage.get_buffer(buffer_id, output.transform_id).append(output.data)
        return outcome.response, []

    def execute(
        self,
        inputs: Mapping[str, execution.PartitionableBuffer],
        outputs: Iterable[str],
        fired_timers: Mapping[tuple[str, str], Iterable[bytes]],
        timers: Iterable[tuple[str, str]],
    ) -> Outcome:
        """Distribute the input among the workers and block until all of it is processed.

        Args:
            inputs: encoded elements, by the transform that reads them.
            outputs: the transforms that write elements.
            fired_timers: encoded timers to fire, by transform and timer family.
            timers: all timer families of the stage.

        Raises:
            WorkItemFailedError: a share failed too often.
        """
        expected = [*outputs, *timers]
        running = [
            _in_thread(functools.partial(self._do, worker, work, expected))
            for worker, work in self._share_out(inputs, fired_timers, timers)
        ]
        wait(running, return_when=FIRST_EXCEPTION)
        # If a share failed, this raises its exception, even while others still run.
        failed = next((share for share in running if share.done() and share.exception()), None)
        outcomes = [share.result() for share in ([failed] if failed else running)]
        return Outcome(
            _merge([outcome.response for outcome in outcomes]),
            [output for outcome in outcomes for output in outcome.outputs],
        )

    def _share_out(
        self,
        inputs: Mapping[str, execution.PartitionableBuffer],
        fired_timers: Mapping[tuple[str, str], Iterable[bytes]],
        timers: Iterable[tuple[str, str]],
    ) -> Iterator[tuple[Worker, _Work]]:
        workers = self._stage.worker_handlers
        fired = {timer: fired_timers.get(timer, ()) for timer in timers}
        if len(workers) == 1 or self._stage.stage.is_stateful():
            # State is kept by key, and one key belongs to one worker at a time.
            yield workers[0], _Work(inputs, fired)
            return
        parts = {name: buffer.partition(len(workers)) for name, buffer in inputs.items()}
        for number, worker in enumerate(workers):
            share = {name: part[number] for name, part in parts.items()}
            if number == 0 or any(chunk for chunks in share.values() for chunk in chunks):
                yield worker, _Work(share, fired)  # A stage with timers is stateful: none here.

    def _timer_buffer(self, buffer_id: bytes, transform_id: str) -> Any:
        buffer = self._stage.get_buffer(buffer_id, transform_id)
        if buffer.cleared:
            buffer.reset()
        return buffer

    def _do(self, worker: Worker, work: _Work, expected: Sequence[Any]) -> Outcome:
        for attempt in itertools.count(1):
            bundle_id = f"{BUNDLE_ID_PREFIX}{secrets.token_hex(8)}"
            self._observer.begin(bundle_id, worker)
            servicer = self._stage.execution_context.state_servicer
            stateful = self._stage.stage.is_stateful()
            try:
                with state_restored_on_error(servicer) if stateful else nullcontext():
                    outcome = self._attempt(bundle_id, worker, work, expected)
            except (BundleFailedError, WorkerDiedError) as error:
                self._observer.failed(bundle_id, worker, attempt, error)
                if attempt == self._max_attempts:
                    raise WorkItemFailedError from error
                if isinstance(error, WorkerDiedError):
                    worker.replace()
                if attempt >= MAX_ATTEMPTS:
                    time.sleep(min(attempt / 4, _LONGEST_PAUSE_SEC))
            else:
                self._observer.succeeded(bundle_id, outcome.response)
                return outcome
        raise AssertionError("unreachable")

    def _attempt(
        self, bundle_id: str, worker: Worker, work: _Work, expected: Sequence[Any]
    ) -> Outcome:
        # Done before sending, because grouping raises the errors of the pipeline's WindowFn.
        inputs = (*work.timers.items(), *work.data.items())
        to_send = [(key, list(chunks)) for key, chunks in inputs]
        abandoned = threading.Event()
        received = _in_thread(
            lambda: list(
                worker.data_conn.input_elements(
                    bundle_id, expected, abort_callback=abandoned.is_set
                )
            )
        )
        try:
            request = beam_fn_api_pb2.ProcessBundleRequest(
                process_bundle_descriptor_id=self._stage.process_bundle_descriptor.id,
                cache_tokens=[next(self._cache_tokens)],
            )
            processed = worker.push(_Request(instruction_id=bundle_id, process_bundle=request))
            # Done in a thread, because a worker that has stopped reading would block it forever.
            _in_thread(lambda: _send(worker.data_conn, bundle_id, to_send))
            response = _check(processed)
            outputs = _collect(received, worker)
            if response.process_bundle.requires_finalization:
                finalize = beam_fn_api_pb2.FinalizeBundleRequest(instruction_id=bundle_id)
                _check(worker.push(_Request(finalize_bundle=finalize)))
        finally:
            abandoned.set()
        return Outcome(response, outputs)


def _send(channel: Any, bundle_id: str, to_send: Sequence[tuple[Any, Sequence[bytes]]]) -> None:
    """Send elements by the transform that reads them, and timers by (transform, timer family)."""
    for key, chunks in to_send:
        if isinstance(key, str):
            stream = channel.output_stream(bundle_id, key)
        else:
            stream = channel.output_timer_stream(bundle_id, *key)
        for chunk in chunks:
            stream.write(chunk)
        stream.close()


def _check(future: worker_handlers.ControlFuture) -> _Response:
    response: _Response = future.get()
    if response.error:
        raise BundleFailedError(response.error)
    return response


def _collect(received: Future[list[_Elements]], worker: Worker) -> list[_Elements]:
    try:
        return received.result()
    except RuntimeError as error:
        raise WorkerDiedError(
            f"Worker {worker.worker_id} closed its data channel before all output had arrived"
        ) from error


def _merge(responses: Sequence[_Response]) -> _Response:
    merged = beam_fn_api_pb2.ProcessBundleResponse()
    for response in responses:
        merged.residual_roots.extend(response.process_bundle.residual_roots)
        merged.monitoring_infos.extend(response.process_bundle.monitoring_infos)
    return _Response(process_bundle=merged)


def _in_thread(function: Callable[[], _T]) -> Future[_T]:
    """Call a function in a thread that need not end: it may be waiting for a dead worker."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
