"""The job store keeps everything that it gets, in order, across restarts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from launcher.emulator.runtime.events import Importance
from launcher.emulator.runtime.states import IllegalTransitionError, JobState
from launcher.emulator.service.job_records import (
    ActiveNameError,
    JobFilter,
    JobRecord,
    PageTokenError,
    TimeRange,
    UnknownJobError,
)
from launcher.emulator.service.job_store import JobStore


class Clock:
    """A clock that advances by a second at every call."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 21, 28, 18, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite3"


@pytest.fixture
def jobs(path: Path) -> Iterator[JobStore]:
    store = JobStore(path, clock=Clock())
    yield store
    store.close()


def create(jobs: JobStore, name: str, *, region: str = "r", project_id: str = "p") -> JobRecord:
    return jobs.create(
        project_id=project_id,
        region=region,
        name=name,
        state=JobState.QUEUED,
        document={"type": "JOB_TYPE_BATCH"},
    )


def names(jobs: JobStore, wanted: JobFilter, page_size: int = 10) -> list[str]:
    found: list[str] = []
    token = ""
    while True:
        page, token = jobs.list_jobs(wanted, page_size=page_size, page_token=token)
        found += [record.name for record in page]
        assert len(found) < 100
        if not token:
            return found


def test_ids_carry_the_pacific_time(jobs: JobStore) -> None:
    assert re.fullmatch(r"2026-11-22_13_28_19-[1-9]\d{14,19}", create(jobs, "a").id)


def test_jobs_survive_a_store_that_was_never_closed(jobs: JobStore, path: Path) -> None:
    record = create(jobs, "a")
    jobs.add_message(record.id, Importance.BASIC, "here")
    again = JobStore(path)
    assert again.get(record.id) == record
    assert again.list_messages(record.id, within=TimeRange(), page_size=5)[0][0].text == "here"
    again.close()


def test_interrupted_jobs_fail_with_the_reason(jobs: JobStore) -> None:
    running, done = create(jobs, "a"), create(jobs, "b")
    for state in (JobState.PENDING, JobState.RUNNING, JobState.DONE):
        jobs.transition(done.id, state)
    assert jobs.fail_interrupted("stopped") == [running.id]
    assert jobs.get(running.id).state is JobState.FAILED
    assert jobs.get(done.id).state is JobState.DONE
    (message,), _ = jobs.list_messages(running.id, within=TimeRange(), page_size=5)
    assert (message.importance, message.text) == ("JOB_MESSAGE_ERROR", "stopped")


def test_a_name_is_active_once_per_project_and_region(jobs: JobStore) -> None:
    first = create(jobs, "a")
    create(jobs, "a", region="other")
    create(jobs, "a", project_id="other")
    with pytest.raises(ActiveNameError):
        create(jobs, "a")
    jobs.transition(first.id, JobState.FAILED)
    assert create(jobs, "a").id != first.id


def test_transitions_follow_the_table(jobs: JobStore) -> None:
    record = create(jobs, "a")
    with pytest.raises(IllegalTransitionError):
        jobs.transition(record.id, JobState.DONE)
    after = jobs.transition(record.id, JobState.PENDING)
    assert after.state is JobState.PENDING
    assert after.state_time > record.state_time
    with pytest.raises(UnknownJobError):
        jobs.transition("nobody", JobState.PENDING)


def test_active_jobs_come_first_then_the_last_to_end(jobs: JobStore) -> None:
    records = {name: create(jobs, name) for name in "abcdef"}
    for name in "bea":
        jobs.transition(records[name].id, JobState.FAILED)
    everything = JobFilter(project_id="p")
    for page_size in (1, 2, 4, 10):
        assert names(jobs, everything, page_size) == list("fdcaeb")
    assert names(jobs, JobFilter(project_id="p", terminal=False), 2) == list("fdc")
    assert names(jobs, JobFilter(project_id="p", terminal=True), 2) == list("aeb")


def test_filters(jobs: JobStore) -> None:
    first = create(jobs, "a")
    second = create(jobs, "b", region="other")
    jobs.transition(second.id, JobState.FAILED)
    assert names(jobs, JobFilter(project_id="q")) == []
    assert names(jobs, JobFilter(project_id="p", region="r")) == ["a"]
    assert names(jobs, JobFilter(project_id="p", name="b")) == ["b"]
    before = JobFilter(project_id="p", created=TimeRange(end=second.create_time))
    assert names(jobs, before) == ["a"]
    since = JobFilter(project_id="p", created=TimeRange(start=second.create_time))
    assert names(jobs, since) == ["b"]
    ended = JobFilter(project_id="p", terminated=TimeRange(start=first.create_time))
    assert names(jobs, ended) == ["b"]


def test_a_clock_that_is_set_back_takes_no_job_back(path: Path) -> None:
    clock = Clock()
    jobs = JobStore(path, clock=clock)
    record = create(jobs, "a")
    jobs.add_message(record.id, Importance.BASIC, "before")
    clock.now -= timedelta(hours=1)
    later = create(jobs, "b")
    for job_id in (record.id, later.id):
        jobs.add_message(job_id, Importance.BASIC, "after")
        jobs.transition(job_id, JobState.FAILED)
    messages, _ = jobs.list_messages(record.id, within=TimeRange(), page_size=9)
    assert [message.text for message in messages] == ["before", "after"]
    times = [message.time for message in messages]
    assert times == sorted(times)
    since, _ = jobs.list_messages(record.id, within=TimeRange(start=times[0]), page_size=9)
    assert len(since) == 2
    assert jobs.get(record.id).state_time >= record.create_time
    assert jobs.get(later.id).state_time < record.create_time  # its own time is correct
    jobs.close()


@pytest.mark.parametrize("token", ["!!!", "x", "eA==", "MXwyfDN8NA==", "eHwyfDM=", "\N{SNOWMAN}"])
def test_foreign_page_tokens_are_refused(jobs: JobStore, token: str) -> None:
    with pytest.raises(PageTokenError):
        jobs.list_jobs(JobFilter(project_id="p"), page_size=1, page_token=token)
    with pytest.raises(PageTokenError):
        jobs.list_messages("id", within=TimeRange(), page_size=1, page_token=token)


def test_messages_by_importance_time_and_page(jobs: JobStore) -> None:
    record = create(jobs, "a")
    for importance in Importance:
        jobs.add_message(record.id, importance, importance.name)
    everything = TimeRange()

    def texts(within: TimeRange = everything, least: str = "DEBUG", size: int = 10) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            page, token = jobs.list_messages(
                record.id,
                minimum_importance=Importance[least],
                within=within,
                page_size=size,
                page_token=token,
            )
            found += [message.text for message in page]
            assert len(found) < 100
            if not token:
                return found

    assert texts() == texts(size=2) == ["DEBUG", "DETAILED", "BASIC", "WARNING", "ERROR"]
    assert texts(least="WARNING") == ["WARNING", "ERROR"]
    page, _ = jobs.list_messages(record.id, within=TimeRange(), page_size=10)
    assert texts(TimeRange(start=page[3].time)) == ["WARNING", "ERROR"]
    assert texts(TimeRange(end=page[1].time)) == ["DEBUG"]


def test_text_that_is_not_utf8_is_kept_readable(jobs: JobStore) -> None:
    record = create(jobs, "a")
    jobs.add_message(record.id, Importance.BASIC, "bad \udcff byte")
    (message,), _ = jobs.list_messages(record.id, within=TimeRange(), page_size=1)
    assert message.text == r"bad \udcff byte"


def test_a_metric_that_did_not_change_keeps_its_time(jobs: JobStore) -> None:
    record = create(jobs, "a")
    jobs.put_metrics(record.id, [{"name": {"name": "x"}, "scalar": 1}, {"name": {"name": "y"}}])
    _, before = jobs.metrics(record.id)
    jobs.put_metrics(record.id, [{"name": {"name": "x"}, "scalar": 2}, {"name": {"name": "y"}}])
    time, after = jobs.metrics(record.id)
    assert [update.get("scalar") for update in after] == [2, None]
    assert after[0]["updateTime"] == time > before[0]["updateTime"]
    assert after[1] == before[1]
