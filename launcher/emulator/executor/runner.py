"""The runner: Beam's FnApiRunner with workers by container image, retries, metrics and messages.

Mirrors the visible behaviour of Dataflow's batch jobs: the names of operations, the retries, the
counts while it runs.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_fn_api_pb2, beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import (
    execution,
    fn_runner,
    translations,
    worker_handlers,
)
from apache_beam.runners.worker import bundle_processor

from launcher.emulator.executor.beam_internals import StageRunner, bind_to_loopback
from launcher.emulator.executor.bundles import MAX_ATTEMPTS, BundleManager, WorkItemFailedError
from launcher.emulator.executor.metrics import JobMetrics, Values, read_values
from launcher.emulator.executor.workers import Worker, WorkerDiedError, WorkerSetup
from launcher.emulator.runtime.errors import WorkflowFailedError
from launcher.emulator.runtime.events import (
    Importance,
    MessageEvent,
    MetricsEvent,
    Report,
    StateEvent,
)
from launcher.emulator.runtime.states import JobState

_METRICS_PERIOD_SEC = 0.5
_CHANNEL_URNS = (bundle_processor.DATA_INPUT_URN, bundle_processor.DATA_OUTPUT_URN)
_RAISED_AGAIN = "\n\nDuring handling of the above exception, another exception occurred:\n"
_STEP = re.compile(r" \[while running '.*'\]$")
_ADDRESS = re.compile(r"\b0x[0-9a-f]+")


class EmulatorRunner(StageRunner):
    """Runs one pipeline."""

    max_attempts: int | None = MAX_ATTEMPTS

    def __init__(self, *, setup: WorkerSetup, metrics: JobMetrics, report: Report) -> None:
        super().__init__(num_workers=setup.execution.num_workers)
        self._metrics = metrics
        self._report = report
        self._failures = _FailureReport(report, self.max_attempts)
        self._operations: Mapping[str, str] = {}
        self._begun: set[str] = set()
        self._made_by_stages: Collection[str] = ()
        bind_to_loopback()
        # Beam registers by class; this process runs only one job.
        worker_handlers.WorkerHandler.register_environment(
            common_urns.environments.DOCKER.urn, beam_runner_api_pb2.DockerPayload
        )(functools.partial(Worker, setup=setup))

    def run(self, pipeline: beam_runner_api_pb2.Pipeline) -> None:
        """Run a pipeline; block until it has ended. Metrics are reported while it runs.

        Raises:
            WorkflowFailedError: a stage failed permanently.
        """
        stop = threading.Event()
        reporter = threading.Thread(target=self._watch_metrics, args=(stop,), daemon=True)
        reporter.start()
        try:
            self.run_via_runner_api(pipeline, PipelineOptions(flags=[]))
        finally:
            stop.set()
            reporter.join()  # It could only be waiting for workers, and they are gone.
            self._report(MetricsEvent(self._metrics.updates()))

    def run_stages(
        self, stage_context: translations.TransformContext, stages: list[translations.Stage]
    ) -> fn_runner.RunnerResult:
        self._describe(stages)
        self._start(stages, begin=[stage for stage in stages if _is_root(stage)])
        return super().run_stages(stage_context, stages)

    def _start(
        self, stages: Sequence[translations.Stage], *, begin: Sequence[translations.Stage]
    ) -> None:
        """Report what is fused and that the job is running, before it has workers.

        Args:
            begin: the stages whose operations begin when the job begins.
        """
        for consumer, producer in (pair for stage in stages for pair in _fused(stage)):
            text = f"Fusing consumer {consumer} into {producer}"
            self._report(MessageEvent(Importance.DETAILED, text))
        for stage in begin:
            self._begin(stage)
        self._report(StateEvent(JobState.RUNNING))

    def _describe(self, stages: Sequence[translations.Stage]) -> None:
        """Record facts about the stages before Beam changes them."""
        self._made_by_stages = {
            pcollection
            for stage in stages
            for transform in stage.transforms
            if transform.spec.urn != bundle_processor.DATA_INPUT_URN
            for pcollection in transform.outputs.values()
        }
        self._operations = {stage.name: _operation(stage) for stage in stages}

    def execute_bundle(
        self,
        context: execution.FnApiRunnerExecutionContext,
        stage: execution.BundleContextManager,
        bundle_input: translations.DataInput,
    ) -> beam_fn_api_pb2.InstructionResponse:
        operation = self._begin(stage.stage)
        try:
            response = super().execute_bundle(context, stage, bundle_input)
        except WorkItemFailedError as error:
            reason = error.__cause__
            cause = reason.cause if isinstance(reason, WorkerDiedError) else str(reason)
            raise WorkflowFailedError(_describe_failure(operation, cause)) from error
        # FnApiRunner leaves pure side inputs in its buffer, and would hand them out again with the
        # stage's next bundle: the bundle of its timers, or of the rest of a split read.
        sides = context.side_input_descriptors_by_stage
        for buffer_id, _ in sides.get(stage.stage.name, {}).values():
            context.pcoll_buffers.pop(buffer_id, None)
        if operation and not response.process_bundle.residual_roots:
            self._report(MessageEvent(Importance.BASIC, f"Finished operation {operation}"))
        return response

    def _begin(self, stage: translations.Stage) -> str:
        """Return a stage's operation; report the first time that it is executed."""
        operation = self._operations[stage.name]
        if operation and operation not in self._begun:
            self._begun.add(operation)
            self._report(MessageEvent(Importance.BASIC, f"Executing operation {operation}"))
        return operation

    def make_bundle_manager(self, stage: execution.BundleContextManager) -> BundleManager:
        transforms = stage.process_bundle_descriptor.transforms.values()
        read = {
            pcollection
            for transform in transforms
            if transform.spec.urn == bundle_processor.DATA_INPUT_URN
            for pcollection in transform.outputs.values()
        }
        counted_elsewhere = read.intersection(self._made_by_stages)
        return BundleManager(
            stage,
            observer=_StageObserver(self._metrics, self._failures, counted_elsewhere),
            cache_tokens=self.get_cache_token_generator(static=False),
            max_attempts=self.max_attempts,
        )

    def _watch_metrics(self, stop: threading.Event) -> None:
        reported: Sequence[Any] = ()
        while not stop.wait(_METRICS_PERIOD_SEC):
            self._metrics.refresh()
            updates = self._metrics.updates()
            if updates != reported:
                self._report(MetricsEvent(updates))
                reported = updates


class _StageObserver:
    """Collects the counts of a stage's bundles, and reports their failures."""

    def __init__(
        self, metrics: JobMetrics, failures: _FailureReport, counted_elsewhere: Collection[str]
    ) -> None:
        self._metrics = metrics
        self._failures = failures
        self._counted_elsewhere = counted_elsewhere

    def begin(self, bundle_id: str, worker: Worker) -> None:
        def ask() -> Values:
            request = beam_fn_api_pb2.ProcessBundleProgressRequest(instruction_id=bundle_id)
            instruction = beam_fn_api_pb2.InstructionRequest(process_bundle_progress=request)
            # No time limit: the harness answers while it works, and its death ends the wait.
            response = worker.push(instruction).get().process_bundle_progress
            return self._read(response.monitoring_infos)

        self._metrics.begin(bundle_id, ask)

    def succeeded(self, bundle_id: str, response: beam_fn_api_pb2.InstructionResponse) -> None:
        self._metrics.commit(bundle_id, self._read(response.process_bundle.monitoring_infos))

    def failed(self, bundle_id: str, worker: Worker, attempt: int, error: Exception) -> None:
        self._metrics.abandon(bundle_id)
        self._failures.report(worker, attempt, error)

    def _read(self, infos: Any) -> Values:
        return read_values(infos, counted_elsewhere=self._counted_elsewhere)


class _FailureReport:
    """Reports failed attempts as messages of the job, each traceback once."""

    def __init__(self, report: Report, max_attempts: int | None) -> None:
        self._report = report
        self._max_attempts = max_attempts
        self._lock = threading.Lock()
        self._reported: set[str] = set()

    def report(self, worker: Worker, attempt: int, error: Exception) -> None:
        last = attempt == self._max_attempts
        number = f"(attempt {attempt} of {self._max_attempts or 'as many as it takes'})"
        if isinstance(error, WorkerDiedError):
            what = f"{error.how} {number}." + ("" if last else " A new worker takes its place.")
            if error.output:
                # Readers who look only at errors see the last attempt's message.
                shown = last or self._is_new(error.output)
                what += f" Its last output:\n{error.output}" if shown else " It ended as before."
            self._report(MessageEvent(Importance.ERROR if last else Importance.WARNING, what))
            return
        text = str(error).rstrip()
        if self._is_new(text):
            text = f"Error message from worker: {_without_harness(text)}\n{number}"
            self._report(MessageEvent(Importance.ERROR, text))
        else:
            text = f"{worker.worker_id}, as before: {text.splitlines()[-1]} {number}"
            self._report(MessageEvent(Importance.DETAILED, text))

    def _is_new(self, text: str) -> bool:
        text = _ADDRESS.sub("", text)  # of a thread
        with self._lock:
            known = text in self._reported
            self._reported.add(text)
        return not known


def _without_harness(traceback: str) -> str:
    """Return a worker's traceback without its second half, in which Beam raises it again."""
    cause, _, again = traceback.rpartition(_RAISED_AGAIN)
    step = _STEP.search(again)
    return f"{cause}{step[0]}" if cause and step else traceback


def _is_root(stage: translations.Stage) -> bool:
    """Return whether a stage can run at once."""
    return not any(stage.side_inputs()) and any(
        each.spec.payload == translations.IMPULSE_BUFFER for each in stage.transforms
    )


def _operation(stage: translations.Stage) -> str:
    """Return a stage's name as Dataflow writes it: its fused transforms, if any."""
    named = filter(_has_operation, stage.transforms)
    impulses_first = sorted(
        named, key=lambda each: each.spec.payload != translations.IMPULSE_BUFFER
    )
    return "+".join(each.unique_name for each in impulses_first)


def _fused(stage: translations.Stage) -> Iterator[tuple[str, str]]:
    """Yield the transforms of a stage that are fused into another, and that other."""
    named = [each for each in stage.transforms if _has_operation(each)]
    producers = {
        pcollection: each.unique_name for each in named for pcollection in each.outputs.values()
    }
    for each in named:
        made = (producers.get(pcollection) for pcollection in each.inputs.values())
        producer = next(filter(None, made), None)
        if producer is not None:
            yield each.unique_name, producer


def _has_operation(transform: beam_runner_api_pb2.PTransform) -> bool:
    is_impulse = transform.spec.payload == translations.IMPULSE_BUFFER
    return is_impulse or transform.spec.urn not in _CHANNEL_URNS


def _describe_failure(operation: str, cause: str) -> str:
    return (
        f"{operation} failed., The job failed because a work item has "
        f"failed {MAX_ATTEMPTS} times. Look in previous log entries for the cause of each one of "
        f"the {MAX_ATTEMPTS} failures. For more information, see "
        "https://cloud.google.com/dataflow/docs/guides/common-errors. "
        f"Root cause: {_find_exception(cause)}"
    )


def _find_exception(traceback: str) -> str:
    """Return the exception of a traceback with all its lines; of other texts the last line."""
    lines = traceback.rstrip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    if not frames:
        return lines[-1]
    rest = lines[frames[-1] + 1 :]
    begin = next((number for number, line in enumerate(rest) if line[:1].strip()), -1)
    return "\n".join(rest[begin:])
