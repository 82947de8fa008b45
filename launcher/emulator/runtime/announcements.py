"""The service's own messages of a job, in its words and order.

Recorded for batch jobs of Beam Python (2024) and for streaming jobs (2020, 2023). Steps without a
counterpart here, such as combiner lifting, have no messages. Fused steps are those that the
executor fuses. UNCONFIRMED: the words for a drained job.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from launcher.emulator.runtime import staging
from launcher.emulator.runtime.events import (
    Event,
    Importance,
    MessageEvent,
    StateEvent,
    WorkersEvent,
)
from launcher.emulator.runtime.states import JobState

_FUSING = "Fusing consumer "
_EXECUTING = "Executing operation "
_STARTED = "Workers have started successfully."
_EXPANDED = ("SplittableParDo", "CollectionToSingleton", "CoGroupByKey")
_RAISED = {
    False: "based on the rate of progress in the currently running stage(s).",
    True: "so that the pipeline can catch up with its backlog and keep up with its input rate.",
}


class Announcer:
    """Adds the service's messages to the executor's reports."""

    def __init__(self, job_id: str, job: Mapping[str, Any], *, workers: int) -> None:
        self._job_id = job_id
        self._streaming = job.get("type") == "JOB_TYPE_STREAMING"
        self._workers = workers
        options = staging.pipeline_options(job)
        self._most_workers = options.get("max_num_workers") or workers
        self._region = staging.worker_region(job)
        self._zone = staging.worker_zone(job)
        self._machine_type = staging.machine_type(job)
        self._is_configured = False
        self._is_prepared = False
        self._are_up = False

    def around(self, event: Event) -> Iterator[Event]:
        """Yield an event of the executor, with the messages before and after it."""
        match event:
            case MessageEvent(text=text) if text.startswith(_FUSING):
                if not self._is_prepared:  # A successor of a stream's executor fuses it again.
                    yield from self._configure()
                    yield event
            case MessageEvent(text=text) if text.startswith(_EXECUTING):
                yield from self._prepare()
                yield event
            case StateEvent(JobState.RUNNING):
                yield from self._prepare()
                yield MessageEvent(Importance.DEBUG, "Starting worker pool setup.")
                # Always "workers".
                text = f"Starting {self._workers} workers in {self._region}..."
                yield MessageEvent(Importance.BASIC, text)
                yield event
            case MessageEvent(text=text) if text == _STARTED and not self._are_up:
                self._are_up = True
                yield from self._workers_start(event)
            case StateEvent(state) if state.is_terminal:
                yield from self.end(success=state is not JobState.FAILED)
                yield event
            case _:
                yield event

    def end(self, *, success: bool) -> Iterator[Event]:
        """Yield the service's messages when it removes the workers."""
        if success:
            yield MessageEvent(Importance.DEBUG, "Executing success step success1")
        yield MessageEvent(Importance.DETAILED, "Cleaning up.")
        yield MessageEvent(Importance.DEBUG, "Starting worker pool teardown.")
        yield MessageEvent(Importance.BASIC, "Stopping worker pool...")
        if self._are_up:
            text = f"Autoscaling: Resized worker pool from {self._workers} to 0."
            yield MessageEvent(Importance.DETAILED, text)
            yield WorkersEvent(0, "Worker pool stopped.")
        yield MessageEvent(Importance.BASIC, "Worker pool stopped.")
        yield MessageEvent(Importance.DEBUG, "Tearing down pending resources...")

    def _configure(self) -> Iterator[Event]:
        if self._is_configured:
            return
        self._is_configured = True
        yield MessageEvent(
            Importance.DETAILED,
            f"Autoscaling is enabled for job {self._job_id}. The number of workers will be between "
            f"1 and {self._most_workers}.",
        )
        yield MessageEvent(
            Importance.BASIC, f"Worker configuration: {self._machine_type} in {self._zone}."
        )
        grouped = "streaming Read/Write steps" if self._streaming else "optimizable parts."
        for what, into in (
            *((name, "optimizable parts.") for name in _EXPANDED),
            ("GroupByKey", grouped),
        ):
            yield MessageEvent(Importance.DETAILED, f"Expanding {what} operations into {into}")
        text = "Fusing adjacent ParDo, Read, Write, and Flatten operations"
        yield MessageEvent(Importance.DETAILED, text)

    def _prepare(self) -> Iterator[Event]:
        if self._is_prepared:
            return
        yield from self._configure()
        self._is_prepared = True
        if self._streaming:
            yield MessageEvent(Importance.BASIC, "Running job using Streaming Engine")
        for text in (
            "Workflow config is missing a default resource spec.",
            "Adding StepResource setup and teardown to workflow graph.",
            "Adding workflow start and stop steps.",
            "Assigning stage ids.",
            "Executing wait step start3",
        ):
            yield MessageEvent(Importance.DEBUG, text)

    def _workers_start(self, event: Event) -> Iterator[Event]:
        text = f"Autoscaling: Raised the number of workers to {self._workers}"
        yield MessageEvent(Importance.DETAILED, f"{text} {_RAISED[self._streaming]}")
        yield WorkersEvent(self._workers, "Worker pool started.")
        yield event
        yield MessageEvent(
            Importance.BASIC,
            "All workers have finished the startup processes and began to receive work requests.",
        )
