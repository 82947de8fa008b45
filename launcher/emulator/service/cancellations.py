"""Cancels jobs: the request is answered at once, and threads end the processes."""

from __future__ import annotations

import logging
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

from launcher.emulator.runtime.events import Importance
from launcher.emulator.runtime.job_runner import JobRunner
from launcher.emulator.runtime.states import IllegalTransitionError, JobState
from launcher.emulator.service import errors
from launcher.emulator.service.job_records import JobRecord
from launcher.emulator.service.job_store import JobStore

_LOG = logging.getLogger(__name__)

_RECORD_AGAIN_SEC = 1.0


class Cancellations:
    """Cancels jobs; thread-safe."""

    def __init__(self, jobs: JobStore, runner: JobRunner) -> None:
        self._jobs = jobs
        self._runner = runner
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="cancel")
        self._closed = threading.Event()

    def close(self) -> None:
        """Wait for the cancellations in progress; no others start."""
        self._closed.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def start(self, record: JobRecord) -> None:
        """Begin to cancel a job, unless it is being cancelled already.

        Raises:
            ApiError: it has ended.
        """
        # The label force_cancel_job makes no difference: a job's processes are killed either way.
        # UNCONFIRMED: that Dataflow takes it only half an hour after a plain cancellation.
        try:
            self._jobs.transition(record.id, JobState.CANCELLING, requested=JobState.CANCELLED)
        except IllegalTransitionError as error:
            if error.current is JobState.CANCELLING:
                return
            raise errors.job_terminated("cancel", record.id, error.current) from error
        text = f"Cancel request is committed for workflow job: {record.id}."
        self._jobs.add_message(record.id, Importance.BASIC, text)
        self._pool.submit(self._finish, record.id)

    def _finish(self, job_id: str) -> None:
        problem: Exception | None = None
        try:
            self._runner.cancel(job_id)
        except Exception as error:
            _LOG.exception("cancelling %s failed", job_id)
            problem = error
        while True:
            try:
                self._record(job_id, problem)
            except (OSError, sqlite3.Error) as error:
                # The disk may be full, and nothing else would ever record that the job has ended.
                _LOG.warning("the end of job %s cannot be recorded: %s", job_id, error)
                if self._closed.wait(_RECORD_AGAIN_SEC):
                    return
            else:
                return

    def _record(self, job_id: str, problem: Exception | None) -> None:
        if problem is None:
            self._jobs.transition(job_id, JobState.CANCELLED)
            return
        self._jobs.add_message(
            job_id, Importance.ERROR, f"The job's processes could not be stopped: {problem}"
        )
        self._jobs.transition(job_id, JobState.FAILED)
