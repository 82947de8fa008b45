"""One job, from its order to its last event."""

from __future__ import annotations

import threading
import traceback

from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2

from launcher.emulator.executor.errors import (
    BadMessageError,
    MissingResourceError,
    UnsupportedPipelineError,
)
from launcher.emulator.executor.metrics import JobMetrics, MetricNames
from launcher.emulator.executor.runner import EmulatorRunner, StageFailedError
from launcher.emulator.executor.services import check_services
from launcher.emulator.executor.stream_limits import check_limits
from launcher.emulator.executor.stream_runner import StreamRunner
from launcher.emulator.executor.worker_logs import WorkerLogs
from launcher.emulator.executor.worker_processes import WorkerProcesses
from launcher.emulator.executor.workers import WorkerSetup
from launcher.emulator.runtime import events
from launcher.emulator.runtime.events import EventWriter
from launcher.emulator.runtime.execution import ExecutionOrder


def execute(
    order: ExecutionOrder,
    processes: WorkerProcesses,
    writer: EventWriter,
    drain: threading.Event,
) -> None:
    """Run a job and report everything about it; block until it has ended, in whatever way.

    Args:
        drain: when it is set, a streaming job takes no more messages and ends with those it has.
    """
    try:
        pipeline = beam_runner_api_pb2.Pipeline.FromString(order.pipeline_file.read_bytes())
        _check_environments(pipeline, order)
        check_services(pipeline)
        if order.streaming:
            check_limits(pipeline)
        writer.state(events.RUNNING)
        metrics = JobMetrics(MetricNames(pipeline.components))
        count = order.num_workers
        writer.message(events.BASIC, f"Starting {count} worker{'s' if count > 1 else ''}...")
        with WorkerLogs.serve(writer) as logs:
            setup = WorkerSetup(order, processes, logs)
            if order.streaming:
                runner: EmulatorRunner = StreamRunner(
                    setup=setup, metrics=metrics, writer=writer, drain=drain
                )
            else:
                runner = EmulatorRunner(setup=setup, metrics=metrics, writer=writer)
            runner.run(pipeline)
    except (
        StageFailedError,
        UnsupportedPipelineError,
        MissingResourceError,
        BadMessageError,
    ) as error:
        writer.message(events.ERROR, str(error))
        writer.state(events.FAILED)
    except Exception as error:
        # Of Beam's runner: it refuses the pipeline, or it has an error of its own.
        writer.message(events.ERROR, traceback.format_exc().rstrip())
        writer.message(events.ERROR, f"Workflow failed. Causes: {type(error).__name__}: {error}")
        writer.state(events.FAILED)
    else:
        writer.message(events.BASIC, "Worker pool stopped.")
        writer.state(events.DRAINED if drain.is_set() else events.DONE)


def _check_environments(pipeline: beam_runner_api_pb2.Pipeline, order: ExecutionOrder) -> None:
    for environment in pipeline.components.environments.values():
        if environment.urn != common_urns.environments.DOCKER.urn:
            raise UnsupportedPipelineError(
                "Dataflow can only execute pipeline steps in Docker environments; "
                f"the pipeline has one of type {environment.urn!r}."
            )
        payload = beam_runner_api_pb2.DockerPayload.FromString(environment.payload)
        if payload.container_image not in order.workers:
            raise UnsupportedPipelineError(
                f"The pipeline wants workers of the image {payload.container_image!r}, which the "
                "job does not name in environment.workerPools."
            )
