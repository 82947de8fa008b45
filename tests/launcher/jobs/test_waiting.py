"""Waiting for a job."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from launcher import (
    ApiError,
    JobCancelled,
    JobFailed,
    JobState,
    JobTimeout,
    RowCounts,
    Unreachable,
    wait_for_job,
)
from launcher.emulator.runtime.events import Importance
from tests.launcher.service import GET


class Clock:
    """A clock that advances only by sleeping; runs one planned action per sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []
        self.plan: Iterator = iter(())

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.sleeps.append(seconds)
        action = next(self.plan, None)
        if action:
            action()


class Recorder:
    """An observer that records its calls."""

    def __init__(self) -> None:
        self.states: list[JobState] = []
        self.texts: list[str] = []
        self.counts: list[RowCounts] = []
        self.outages: list[str] = []

    def on_job(self, job):
        self.states.append(job.current_state)

    def on_message(self, message):
        self.texts.append(message.message_text)

    def on_metrics(self, metrics):
        self.counts.append(RowCounts.from_metrics(metrics))

    def on_outage(self, error):
        self.outages.append(str(error))


def counter(name, value, *, namespace="flexpack", step="predict", tentative=False):
    context = {"namespace": namespace, "step": step}
    if tentative:
        context["tentative"] = "true"
    return {"name": {"origin": "user", "name": name, "context": context}, "scalar": value}


@pytest.fixture
def clock():
    return Clock()


def wait(dataflow, job, clock, **options):
    return wait_for_job(dataflow, job.id, clock=clock, sleep=clock.sleep, **options)


def test_wait_reports_each_message_once_and_returns_the_job(service, dataflow, clock):
    job = service.add_job("fashion", "PENDING")

    def run():
        service.move(job.id, "RUNNING")
        service.add_message(job.id, "one")
        service.now += timedelta(seconds=1)
        service.add_message(job.id, "two")
        service.set_metrics(job.id, [counter("rows_read", 5)])

    def end():
        service.now -= timedelta(seconds=1)
        service.add_message(job.id, "late")
        service.move(job.id, "DONE")
        service.set_metrics(job.id, [counter("rows_read", 9)])

    clock.plan = iter([run, end])
    recorder = Recorder()

    done = wait(dataflow, job, clock, observer=recorder)

    assert done.current_state is JobState.DONE
    assert recorder.states == [JobState.PENDING, JobState.RUNNING, JobState.DONE]
    assert recorder.texts == ["one", "two", "late"]
    assert [counts.rows_read for counts in recorder.counts] == [0, 5, 9]


def test_a_failed_job_raises_with_its_last_errors(service, dataflow, clock):
    job = service.add_job("fashion", "FAILED")
    for number in range(5):
        service.add_message(job.id, f"error {number}", Importance.ERROR)

    with pytest.raises(JobFailed) as caught:
        wait(dataflow, job, clock)

    assert [m.message_text for m in caught.value.messages] == ["error 2", "error 3", "error 4"]
    assert str(caught.value) == f"job {job.id} (fashion) failed: error 2\nerror 3\nerror 4"
    assert caught.value.job.current_state is JobState.FAILED


def test_a_cancelled_job_raises(service, dataflow, clock):
    job = service.add_job("fashion", "CANCELLED")

    with pytest.raises(JobCancelled, match=r"\(fashion\) was cancelled"):
        wait(dataflow, job, clock)


def test_the_wait_ends_in_time_and_leaves_the_job(service, dataflow, clock):
    job = service.add_job("fashion")

    with pytest.raises(JobTimeout) as caught:
        wait(dataflow, job, clock, timeout_sec=60)

    assert clock.now == 60
    assert max(clock.sleeps) <= 5
    assert "is JOB_STATE_RUNNING after 60 s of waiting and keeps running" in str(caught.value)
    assert f"flexpack jobs cancel {job.id}" in str(caught.value)
    assert service.updates == []


def test_an_outage_is_waited_out(service, dataflow, clock):
    job = service.add_job("fashion")
    service.fault(GET, "drop", count=9)  # three polls of three attempts each
    clock.plan = iter([None, None, lambda: service.move(job.id, "DONE")])
    recorder = Recorder()

    done = wait(dataflow, job, clock, observer=recorder)

    assert done.current_state is JobState.DONE
    assert len(recorder.outages) == 3


def test_a_long_outage_ends_the_wait(service, dataflow, clock):
    job = service.add_job("fashion")
    service.fault(GET, "drop", count=1000)

    with pytest.raises(Unreachable):
        wait(dataflow, job, clock, outage_limit_sec=20)

    assert 20 < clock.now <= 30


def test_a_refusal_ends_the_wait_at_once(service, dataflow, clock):
    with pytest.raises(ApiError, match="404"):
        wait_for_job(dataflow, "no-such-job", clock=clock, sleep=clock.sleep)

    assert clock.sleeps == []
