"""The limit on jobs that run at once, the queue for it, and a full disk."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.emulator.runtime.events import Event
from launcher.emulator.runtime.images import ImageRegistry
from launcher.emulator.runtime.job_runner import JobRunner
from tests.launcher.emulator.runtime.conftest import Bench, Journals


@pytest.fixture
def narrow(bench: Bench, registry: ImageRegistry, tmp_path: Path) -> Iterator[JobRunner]:
    """A job runner that runs one job at once."""
    runner = JobRunner(
        store=bench.store,
        images=registry,
        endpoints=bench.endpoints,
        report=bench.journals.record,
        runs_dir=tmp_path,
        max_jobs=1,
    )
    yield runner
    runner.close()


def test_jobs_above_the_limit_wait_in_their_order(bench: Bench, narrow: JobRunner) -> None:
    for number in range(4):
        narrow.launch(f"queue-{number}", bench.build_launch("slow.py"))
    bench.journals.wait_for("queue-0", lambda journal: "process" in journal.texts())
    for number in range(1, 4):
        journal = bench.journals.wait_for(f"queue-{number}", lambda journal: journal.messages)
        (message,) = journal.messages
        assert message == (
            "JOB_MESSAGE_BASIC",
            "The local Dataflow runs at most 1 jobs at once; this one waits for its turn.",
        )
    narrow.cancel("queue-1")  # Returns though queue-0 still runs.
    narrow.cancel("queue-0")
    bench.journals.wait_for("queue-2", lambda journal: "process" in journal.texts())
    assert len(bench.journals.wait_for("queue-1", lambda _: True).messages) == 1
    narrow.close()
    assert len(bench.journals.wait_for("queue-3", lambda _: True).messages) == 1
    with pytest.raises(RuntimeError):
        narrow.launch("late", bench.build_launch("slow.py"))


class FullDisk(Journals):
    """Cannot record anything until there is space."""

    def __init__(self) -> None:
        super().__init__()
        self.met = threading.Event()
        self.has_room = threading.Event()

    def record(self, job_id: str, event: Event) -> None:
        if not self.has_room.is_set():
            self.met.set()
            raise sqlite3.OperationalError("database or disk is full")
        super().record(job_id, event)


def test_a_job_that_a_full_disk_ended_is_failed_when_there_is_room(
    bench: Bench, registry: ImageRegistry, tmp_path: Path
) -> None:
    disk = FullDisk()
    runner = JobRunner(
        store=bench.store,
        images=registry,
        endpoints=bench.endpoints,
        report=disk.record,
        runs_dir=tmp_path,
    )
    runner.launch("unlucky", bench.build_launch("slow.py"))
    assert disk.met.wait(30)
    disk.has_room.set()
    journal = disk.wait("unlucky")
    assert journal.states == ["JOB_STATE_FAILED"]
    assert "OperationalError: database or disk is full" in journal.texts("JOB_MESSAGE_ERROR")
    disk.has_room.clear()
    disk.met.clear()
    runner.launch("given-up", bench.build_launch("slow.py"))
    assert disk.met.wait(30)
    runner.close()  # Returns though the end of the job cannot be recorded.
