"""Finished jobs are deleted with their staged files, and nothing else is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from launcher.emulator.runtime.events import Importance
from launcher.emulator.runtime.states import JobState
from launcher.emulator.service.job_records import UnknownJobError
from launcher.emulator.service.job_store import JobStore
from launcher.emulator.service.retention import Pruned, Retention
from launcher.emulator.storage.store import ObjectStore

LEFT_BY_SINK = f"out/beam-temp-rows-{'0123456789abcdef' * 2}/part"


class Folder:
    """The folder of an emulator with two finished jobs, one that runs, and what users wrote."""

    def __init__(self, root: Path) -> None:
        self.jobs = JobStore(root / "jobs.sqlite3")
        self.store = ObjectStore(root / "storage")
        self.runs = root / "runs"
        self.store.create_bucket("bkt")
        self.ids = [self.add_job(f"job-{number}", ended=number < 2) for number in range(3)]
        for name in ("out/rows.jsonl", "staging/mine", "template_launches/x", LEFT_BY_SINK):
            self.store.write("bkt", name, b"")

    def add_job(self, name: str, *, ended: bool) -> str:
        url = f"gs://bkt/staging/{name}.123/pipeline.pb"
        job = {"environment": {"sdkPipelineOptions": {"options": {"pipelineUrl": url}}}}
        record = self.jobs.create(
            project_id="p", region="r", name=name, state=JobState.PENDING, document=job
        )
        self.jobs.add_message(record.id, Importance.BASIC, "text")
        self.store.write("bkt", f"staging/{name}.123/pipeline.pb", b"")
        self.store.write("bkt", f"staging/template_launches/{record.id}/job_object", b"")
        (self.runs / record.id).mkdir(parents=True)
        (self.runs / record.id / "executor.log").write_text("log")
        if ended:
            self.jobs.transition(record.id, JobState.FAILED)
        return record.id

    def names(self) -> list[str]:
        return [found.name for found in self.store.list_objects("bkt").objects]

    def retention(self, running: frozenset[str], *, hours: int = 0) -> Retention:
        return Retention(
            jobs=self.jobs,
            store=self.store,
            runs_dir=self.runs,
            running=lambda: running,
            clock=lambda: datetime.now(UTC) + timedelta(hours=hours),
        )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(tmp_path)
    yield folder
    folder.jobs.close()
    folder.store.close()


def test_a_finished_job_goes_with_what_was_staged_for_it(folder: Folder) -> None:
    first, second, active = folder.ids
    before = set(folder.names())
    assert folder.retention(frozenset({active})).prune(1) == Pruned(jobs=1, objects=2)
    assert before - set(folder.names()) == {
        "staging/job-0.123/pipeline.pb",
        f"staging/template_launches/{first}/job_object",
    }
    with pytest.raises(UnknownJobError):
        folder.jobs.get(first)
    assert folder.jobs.get(second)
    assert {path.name for path in folder.runs.iterdir()} == {second, active}


def test_a_job_that_has_processes_is_left_alone(folder: Folder) -> None:
    assert folder.retention(frozenset(folder.ids)).prune(0) == Pruned(jobs=0, objects=0)


def test_what_sinks_left_goes_when_nothing_runs(folder: Folder) -> None:
    retention = folder.retention(frozenset(), hours=2)
    assert retention.prune(2, with_leftovers=False) == Pruned(jobs=0, objects=0)
    assert folder.retention(frozenset()).prune(2, with_leftovers=True).objects == 0  # too new
    busy = folder.retention(frozenset(folder.ids), hours=2)
    assert busy.prune(2, with_leftovers=True).objects == 0
    assert retention.prune(0, with_leftovers=True) == Pruned(jobs=2, objects=5)
    assert folder.names() == [
        "out/rows.jsonl",
        "staging/job-2.123/pipeline.pb",
        "staging/mine",
        f"staging/template_launches/{folder.ids[2]}/job_object",
        "template_launches/x",
    ]
