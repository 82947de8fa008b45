"""The limit of jobs that run at once, the queue before it, and a disk that is full."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.emulator.runtime.images import ImageRegistry
from launcher.emulator.runtime.job_runner import Runtime
from tests.emulator.runtime.conftest import Bench, Journals


@pytest.fixture
def narrow(bench: Bench, registry: ImageRegistry, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime that runs one job at once."""
    runtime = Runtime(
        store=bench.store,
        images=registry,
        endpoints=bench.endpoints,
        events=bench.journals,
        runs_dir=tmp_path,
        max_jobs=1,
    )
    yield runtime
    runtime.close()


def test_jobs_above_the_limit_wait_in_their_order(bench: Bench, narrow: Runtime) -> None:
    for number in range(4):
        narrow.launch(bench.order("slow.py", f"queue-{number}"))
    bench.journals.wait_for("queue-0", lambda journal: "process" in journal.texts())
    for number in range(1, 4):
        journal = bench.journals.wait_for(f"queue-{number}", lambda journal: journal.messages)
        (told,) = journal.messages
        assert told == (
            "JOB_MESSAGE_BASIC",
            "The local Dataflow runs no more than 1 jobs at once; this one waits for its turn.",
        )
    narrow.cancel("queue-1")  # Returns though queue-0 still runs.
    narrow.cancel("queue-0")
    bench.journals.wait_for("queue-2", lambda journal: "process" in journal.texts())
    assert len(bench.journals.wait_for("queue-1", lambda _: True).messages) == 1
    narrow.close()
    assert len(bench.journals.wait_for("queue-3", lambda _: True).messages) == 1
    with pytest.raises(RuntimeError):
        narrow.launch(bench.order("slow.py", "late"))


class FullDisk(Journals):
    """Records nothing before there is room."""

    def __init__(self) -> None:
        super().__init__()
        self.met = threading.Event()
        self.has_room = threading.Event()

    def message(self, job_id: str, importance: str, text: str) -> None:
        if not self.has_room.is_set():
            self.met.set()
            raise sqlite3.OperationalError("database or disk is full")
        super().message(job_id, importance, text)


def test_a_job_that_a_full_disk_ended_is_failed_when_there_is_room(
    bench: Bench, registry: ImageRegistry, tmp_path: Path
) -> None:
    disk = FullDisk()
    runtime = Runtime(
        store=bench.store,
        images=registry,
        endpoints=bench.endpoints,
        events=disk,
        runs_dir=tmp_path,
    )
    runtime.launch(bench.order("slow.py", "unlucky"))
    assert disk.met.wait(30)
    disk.has_room.set()
    journal = disk.wait("unlucky")
    assert journal.states == ["JOB_STATE_FAILED"]
    assert "OperationalError: database or disk is full" in journal.texts("JOB_MESSAGE_ERROR")
    disk.has_room.clear()
    disk.met.clear()
    runtime.launch(bench.order("slow.py", "given-up"))
    assert disk.met.wait(30)
    runtime.close()  # Returns though the end of the job cannot be recorded.
