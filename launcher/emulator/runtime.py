"""The runtime: what happens between an accepted launch and a finished job.

Runs every job in a thread of its own (``job_run``). Decides nothing about requests, its orders are
valid; keeps no record, the service does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.emulator.images import ImageRegistry
from launcher.emulator.job_run import JobEvents, JobRun
from launcher.emulator.launcher_process import LaunchOrder
from launcher.emulator.storage import ObjectStore

__all__ = ["JobEvents", "JobOrder", "LaunchOrder", "Runtime"]


@dataclass(frozen=True, kw_only=True)
class JobOrder:
    """A ``Job`` that a client submitted itself, as Beam's DataflowRunner does."""

    job_id: str
    project_id: str
    region: str
    job: Mapping[str, Any]


class Runtime:
    """Runs jobs; thread-safe."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        images: ImageRegistry,
        endpoints: Mapping[str, str],
        events: JobEvents,
        runs_dir: Path,
    ) -> None:
        """
        Args:
            store: the local Cloud Storage.
            images: what stands for container images.
            endpoints: variables that lead the jobs' processes to the local services.
            events: is told what happens to the jobs.
            runs_dir: gets a folder for every job, with the output of its processes.
        """
        self._store = store
        self._images = images
        self._endpoints = endpoints
        self._events = events
        self._runs_dir = runs_dir
        self._lock = threading.Lock()
        self._runs: dict[str, tuple[JobRun, threading.Thread]] = {}

    def launch(self, order: LaunchOrder) -> None:
        """Start a Flex Template: its launcher, then its job. Returns at once."""
        self._start(order.job_id, lambda run: run.launch(order))

    def execute(self, order: JobOrder) -> None:
        """Start a submitted job. Returns at once."""
        self._start(order.job_id, lambda run: run.execute(order.job))

    def cancel(self, job_id: str) -> None:
        """Kill the processes of a job; block until they are gone. Reports nothing."""
        with self._lock:
            found = self._runs.get(job_id)
        if found is not None:
            _stop(*found)

    def close(self) -> None:
        """Kill all that runs; block until it is gone. Reports nothing."""
        with self._lock:
            running = list(self._runs.values())
        for run, thread in running:
            _stop(run, thread)

    def _start(self, job_id: str, work: Callable[[JobRun], None]) -> None:
        run = JobRun(
            job_id,
            store=self._store,
            images=self._images,
            endpoints=self._endpoints,
            events=self._events,
            run_dir=self._runs_dir / job_id,
        )

        def run_and_forget() -> None:
            try:
                work(run)
            finally:
                with self._lock:
                    del self._runs[job_id]

        thread = threading.Thread(target=run_and_forget, name=f"job-{job_id}", daemon=True)
        with self._lock:
            self._runs[job_id] = run, thread
            thread.start()


def _stop(run: JobRun, thread: threading.Thread) -> None:
    run.cancel()
    thread.join()  # Its processes are gone: it has nothing left to wait for.
