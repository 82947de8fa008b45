"""One job, from its start to its last event."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Sequence

from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2

from launcher.emulator.executor.limits import check_limits
from launcher.emulator.executor.metrics import JobMetrics, MetricNames
from launcher.emulator.executor.runner import EmulatorRunner
from launcher.emulator.executor.stream_runner import StreamRunner
from launcher.emulator.executor.worker_logs import WorkerLogs
from launcher.emulator.executor.worker_processes import WorkerProcesses
from launcher.emulator.executor.workers import WorkerSetup
from launcher.emulator.runtime.errors import JobFailedError, WorkflowFailedError
from launcher.emulator.runtime.events import Importance, MessageEvent, Report, StateEvent
from launcher.emulator.runtime.execution import Execution
from launcher.emulator.runtime.states import JobState


def execute(
    execution: Execution,
    processes: WorkerProcesses,
    report: Report,
    drain: threading.Event,
) -> None:
    """Run a job and report everything about it; block until it has ended.

    Args:
        drain: once set, a streaming job takes no more messages, and ends after those that it has
            taken.
    """
    try:
        _run(execution, processes, report, drain)
    except Exception as error:
        for text in _explain(error):
            report(MessageEvent(Importance.ERROR, text))
        report(StateEvent(JobState.FAILED))
    else:
        report(StateEvent(JobState.DRAINED if drain.is_set() else JobState.DONE))


def _explain(error: Exception) -> Sequence[str]:
    if isinstance(error, JobFailedError):
        return error.messages
    # An error in Beam's runner: it refuses the pipeline, or has a bug.
    cause = WorkflowFailedError(f"{type(error).__name__}: {error}")
    return "".join(traceback.format_exception(error)).rstrip(), *cause.messages


def _run(
    execution: Execution,
    processes: WorkerProcesses,
    report: Report,
    drain: threading.Event,
) -> None:
    pipeline = beam_runner_api_pb2.Pipeline.FromString(execution.pipeline_file.read_bytes())
    _check_environments(pipeline, execution)
    check_limits(pipeline, streaming=execution.streaming)
    metrics = JobMetrics(MetricNames(pipeline.components))
    with WorkerLogs.serve(report) as logs:
        setup = WorkerSetup(execution, processes, logs)
        if execution.streaming:
            runner: EmulatorRunner = StreamRunner(
                setup=setup, metrics=metrics, report=report, drain=drain
            )
        else:
            runner = EmulatorRunner(setup=setup, metrics=metrics, report=report)
        runner.run(pipeline)


def _check_environments(pipeline: beam_runner_api_pb2.Pipeline, execution: Execution) -> None:
    for environment in pipeline.components.environments.values():
        if environment.urn != common_urns.environments.DOCKER.urn:
            raise JobFailedError(
                "Dataflow can only execute pipeline steps in Docker environments; "
                f"the pipeline has one of type {environment.urn!r}."
            )
        payload = beam_runner_api_pb2.DockerPayload.FromString(environment.payload)
        if payload.container_image not in execution.workers:
            raise JobFailedError(
                f"The pipeline needs workers of the image {payload.container_image!r}, which the "
                "job does not name in environment.workerPools."
            )
