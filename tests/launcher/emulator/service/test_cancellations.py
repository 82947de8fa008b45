"""A cancellation is eventually recorded, even if the disk is full for a while."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from launcher.emulator.runtime.states import JobState
from launcher.emulator.service.cancellations import Cancellations
from launcher.emulator.service.job_records import JobRecord
from launcher.emulator.service.job_store import JobStore
from tests.launcher.emulator.service.conftest import RecordingRunner


class FullStore(JobStore):
    """A store on a disk that is full when the first end of a job is recorded."""

    failures = 1

    def transition(self, job_id: str, wanted: JobState, **options: Any) -> JobRecord:
        if wanted.is_terminal and self.failures:
            self.failures -= 1
            raise sqlite3.OperationalError("database or disk is full")
        return super().transition(job_id, wanted, **options)


def test_a_cancellation_is_recorded_once_there_is_room(tmp_path: Path) -> None:
    jobs, runner = FullStore(tmp_path / "jobs.sqlite3"), RecordingRunner()
    runner.may_cancel.set()
    record = jobs.create(project_id="p", region="r", name="j", state=JobState.QUEUED, document={})
    cancellations = Cancellations(jobs, runner)
    cancellations.start(record)
    cancellations._pool.shutdown(wait=True)
    assert jobs.failures == 0
    assert jobs.get(record.id).state is JobState.CANCELLED
    jobs.close()
