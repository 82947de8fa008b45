"""What is shown while a job runs."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from launcher.commands.progress import LiveProgress, PlainProgress, open_progress
from launcher.errors import Unreachable
from launcher.jobs.records import (
    Job,
    JobMessage,
    JobState,
    MessageImportance,
    Metric,
    MetricStructuredName,
)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def job(state):
    return Job(id="1", current_state=state)


def rows(read, predictions, dead_letters):
    values = {"rows_read": read, "predictions": predictions, "dead_letters": dead_letters}
    return [
        Metric(
            name=MetricStructuredName(name=name, context={"namespace": "flexpack"}), scalar=value
        )
        for name, value in values.items()
    ]


def message(text, importance=MessageImportance.BASIC):
    time = datetime(2026, 11, 22, tzinfo=UTC)
    return JobMessage(id="m", time=time, message_text=text, message_importance=importance)


@pytest.fixture
def clock():
    return Clock()


def play(progress, clock):
    progress.on_job(job(JobState.UNKNOWN))
    progress.on_job(job(JobState.QUEUED))
    clock.now = 2.0
    progress.on_job(job(JobState.RUNNING))
    progress.on_message(message("Workers have started.\nTwo of them."))
    progress.on_metrics(rows(100, 0, 0))
    clock.now = 6.0
    progress.on_job(job(JobState.RUNNING))
    progress.on_metrics(rows(1000, 396, 4))
    clock.now = 7.0
    progress.on_metrics(rows(2000, 1000, 4))
    progress.on_outage(Unreachable("no connection"))
    progress.on_outage(Unreachable("no connection"))
    clock.now = 12.0
    progress.on_job(job(JobState.DONE))
    progress.on_message(message("[bold] oops", MessageImportance.ERROR))
    progress.on_metrics(rows(2000, 1990, 10))


def test_plain_lines(clock):
    stream = io.StringIO()
    with open_progress(stream, clock=clock) as progress:
        assert isinstance(progress, PlainProgress)
        play(progress, clock)

    assert stream.getvalue() == (
        "    0.0s  JOB_STATE_QUEUED\n"
        "    2.0s  JOB_STATE_RUNNING\n"
        "    2.0s  Workers have started.\n"
        "          Two of them.\n"
        "    6.0s  396 predictions, 4 dead letters, 100 rows/s\n"
        "    7.0s  no connection; trying again\n"
        "   12.0s  JOB_STATE_DONE\n"
        "   12.0s  ERROR: [bold] oops\n"
        "   12.0s  1,990 predictions, 10 dead letters, 199 rows/s\n"
    )
    assert progress.summarize() == (
        "JOB_STATE_DONE after 12.0 s: 2,000 rows read, 1,990 predictions, 10 dead letters"
    )


def test_a_terminal_gets_a_live_line_under_the_messages(clock):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, highlight=False)
    progress = LiveProgress(console, clock=clock)
    with progress.shown():
        play(progress, clock)

    shown = stream.getvalue()
    assert "Workers have started.\nTwo of them." in shown
    assert "[bold] oops" in shown
    assert "JOB_STATE_DONE  12 s  1,990 predictions, 10 dead letters  199 rows/s" in shown
    assert progress.summarize().startswith("JOB_STATE_DONE after 12.0 s: 2,000 rows read")


def test_long_lines_are_shortened_but_never_an_errors(clock):
    stream = io.StringIO()
    progress = PlainProgress(stream, clock=clock)
    progress.on_message(message("Executing operation A+B"))
    progress.on_message(message("Finished operation A+B"))
    progress.on_message(message("Worker " * 100))
    progress.on_message(message("x" * 500, MessageImportance.ERROR))
    first, second = stream.getvalue().splitlines()
    assert len(first) < 230
    assert first.endswith("...")
    assert second.endswith("x" * 500)


def test_the_summary_of_an_ended_job_says_how_long_it_ran(clock):
    progress = PlainProgress(io.StringIO(), clock=clock)
    progress.on_job(
        Job(
            id="1",
            current_state=JobState.FAILED,
            create_time=datetime(2026, 11, 22, 13, 0, 0, tzinfo=UTC),
            current_state_time=datetime(2026, 11, 22, 13, 1, 30, tzinfo=UTC),
        )
    )
    assert progress.summarize() == "JOB_STATE_FAILED after 90.0 s"


def test_a_job_that_was_never_seen_has_no_summary(clock):
    progress = PlainProgress(io.StringIO(), clock=clock)
    progress.on_outage(Unreachable("no connection"))
    assert progress.summarize() == ""


def test_a_job_without_the_kits_counters_shows_no_rows(clock):
    progress = PlainProgress(io.StringIO(), clock=clock)
    progress.on_job(job(JobState.DONE))
    progress.on_metrics([Metric(name=MetricStructuredName(name="other"), scalar=3)])
    assert progress.summarize() == "JOB_STATE_DONE after 0.0 s"
