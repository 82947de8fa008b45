"""The job runner: runs accepted launches until their jobs have ended.

Runs every job in its own thread (``job_run``), a limited number at once; the others wait in
order of arrival. It decides nothing about requests, which are valid, and keeps no
records: the service does.
"""

from __future__ import annotations

import functools
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from launcher.emulator.runtime.events import Event, Importance, MessageEvent
from launcher.emulator.runtime.images import ImageRegistry
from launcher.emulator.runtime.job_run import JobRun
from launcher.emulator.runtime.launch import Launch
from launcher.emulator.runtime.warm import WarmProcesses
from launcher.emulator.storage.store import ObjectStore

_LOG = logging.getLogger(__name__)
_USAGE_PERIOD_SEC = 2.0

DEFAULT_MAX_JOBS = max(4, os.cpu_count() or 1)
"""The number of jobs that run at once: each has three processes that import Beam."""


class JobRunner:
    """Runs jobs; thread-safe."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        images: ImageRegistry,
        endpoints: Mapping[str, str],
        report: Callable[[str, Event], None],
        runs_dir: Path,
        umask: int = -1,
        max_jobs: int = DEFAULT_MAX_JOBS,
        running_sec: float = 0,
        warm: WarmProcesses | None = None,
    ) -> None:
        """
        Args:
            store: the local Cloud Storage.
            images: what stands for container images.
            endpoints: variables that lead the jobs' processes to the local services.
            report: receives a job's id and its run's reports; called from several threads.
            runs_dir: gets a folder for every job, with the output of its processes.
            umask: of the processes that run the jobs' own code; -1 for this process's.
            max_jobs: how many jobs run at once.
            running_sec: how long a job is RUNNING at least, unless it fails.
            warm: forks the processes of jobs; the caller closes it.
        """
        self._warm = warm
        self._store = store
        self._images = images
        self._endpoints = endpoints
        self._report = report
        self._runs_dir = runs_dir
        self._umask = umask
        self._max_jobs = max_jobs
        self._running_sec = running_sec
        self._pool = ThreadPoolExecutor(max_jobs, thread_name_prefix="job")
        self._lock = threading.Lock()
        self._runs: dict[str, tuple[JobRun, Future[None]]] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._watch_usage, name="usage", daemon=True).start()

    def launch(self, job_id: str, launch: Launch) -> None:
        """Start a Flex Template: its launcher, then its job. Returns at once."""
        self._start(job_id, lambda run: run.launch(launch))

    def execute(self, job_id: str, job: Mapping[str, Any]) -> None:
        """Start a ``Job`` that a client submitted itself, as Beam's DataflowRunner does.

        Returns at once.
        """
        self._start(job_id, lambda run: run.execute(job))

    def drain(self, job_id: str) -> None:
        """Let a streaming job end after the messages that it has taken. Returns at once."""
        with self._lock:
            found = self._runs.get(job_id)
        if found is not None:
            found[0].drain()

    def cancel(self, job_id: str) -> None:
        """Kill a job's processes, or take it out of the queue; block until they are gone.

        Reports nothing.
        """
        with self._lock:
            found = self._runs.get(job_id)
        if found is not None:
            self._stop(job_id, *found)

    def running(self) -> frozenset[str]:
        """Return the jobs that run, wait for their turn, or are stopping."""
        with self._lock:
            return frozenset(self._runs)

    def close(self) -> None:
        """Kill everything that runs; block until it is gone. Reports nothing."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            runs = dict(self._runs)
        for job_id, (run, ended) in runs.items():
            self._stop(job_id, run, ended)

    def _start(self, job_id: str, work: Callable[[JobRun], None]) -> None:
        run = JobRun(
            job_id,
            store=self._store,
            images=self._images,
            endpoints=self._endpoints,
            report=functools.partial(self._report, job_id),
            run_dir=self._runs_dir / job_id,
            umask=self._umask,
            running_sec=self._running_sec,
            warm=self._warm,
        )

        def run_and_forget() -> None:
            try:
                work(run)
            finally:
                self._forget(job_id)

        with self._lock:
            ahead = len(self._runs)
            self._runs[job_id] = run, self._pool.submit(run_and_forget)
        if ahead >= self._max_jobs:
            text = (
                f"The local Dataflow runs at most {self._max_jobs} jobs at once; this one waits "
                "for its turn."
            )
            self._report(job_id, MessageEvent(Importance.BASIC, text))

    def _stop(self, job_id: str, run: JobRun, ended: Future[None]) -> None:
        if ended.cancel():  # It was still waiting.
            self._forget(job_id)
        else:
            run.cancel()
            wait([ended])  # Its processes are gone, so there is nothing left to wait for.

    def _watch_usage(self) -> None:
        while not self._closed.wait(_USAGE_PERIOD_SEC):
            with self._lock:
                runs = [run for run, _ in self._runs.values()]
            for run in runs:
                try:
                    run.report_usage()
                except (OSError, sqlite3.Error) as error:
                    # The disk may be full. Only a point of a chart is missing.
                    _LOG.warning("the usage of a job cannot be recorded: %s", error)

    def _forget(self, job_id: str) -> None:
        with self._lock:
            self._runs.pop(job_id, None)
