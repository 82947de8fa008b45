"""What is shown while a job runs."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from launcher.commands.progress import LiveProgress, PlainProgress, open_progress
from launcher.commands.watch import WatchDisplay
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
        "   12.0s  1,990 predictions, 10 dead letters, 200 rows/s\n"
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
    assert "JOB_STATE_DONE  12 s  1,990 predictions, 10 dead letters  200 rows/s" in shown
    assert progress.summarize().startswith("JOB_STATE_DONE after 12.0 s: 2,000 rows read")


def counters(*, tentative=False, namespace="flexpack", **values):
    mark = {"tentative": "true"} if tentative else {}
    context = {"namespace": namespace, "step": "s", **mark}
    return [
        Metric(name=MetricStructuredName(name=name, context=context), scalar=value)
        for name, value in values.items()
    ]


def test_a_long_bundle_shows_rows_share_and_time_left(clock):
    stream = io.StringIO()
    progress = PlainProgress(stream, clock=clock)
    progress.on_job(job(JobState.RUNNING))
    committed = counters(rows_found=0, rows_read=0, predictions=0, dead_letters=0)
    for clock.now, found in ((5.0, 40_000), (10.0, 100_000)):
        progress.on_metrics([*committed, *counters(tentative=True, rows_found=found)])
    committed = counters(rows_found=100_000, rows_read=0, predictions=0, dead_letters=0)
    for clock.now, done in ((15.0, 5_000), (20.0, 10_000), (25.0, 15_000)):
        running = {"rows_read": done + 500, "predictions": done - 10, "dead_letters": 10}
        progress.on_metrics([*committed, *counters(tentative=True, rows_found=100_000, **running)])
    assert stream.getvalue() == (
        "    0.0s  JOB_STATE_RUNNING\n"
        "    5.0s  40,000 rows found\n"
        "   10.0s  100,000 rows found\n"
        "   15.0s  4,990 predictions, 10 dead letters of 100,000 rows (5%), 1,000 rows/s, "
        "1 min 35 s left\n"
        "   20.0s  9,990 predictions, 10 dead letters of 100,000 rows (10%), 1,000 rows/s, "
        "1 min 30 s left\n"
        "   25.0s  14,990 predictions, 10 dead letters of 100,000 rows (15%), 1,000 rows/s, "
        "1 min 25 s left\n"
    )
    clock.now = 30.0
    progress.on_job(job(JobState.FAILED))
    assert progress.summarize() == "JOB_STATE_FAILED after 30.0 s"


def test_rows_that_are_not_known_give_no_share(clock):
    stream = io.StringIO()
    progress = PlainProgress(stream, clock=clock)
    clock.now = 5.0
    progress.on_metrics(
        counters(rows_found=100, uncounted_files=1, rows_read=60, predictions=50, dead_letters=0)
    )
    assert stream.getvalue() == "    5.0s  50 predictions, 0 dead letters, 0 rows/s\n"


def test_what_is_watched(clock):
    stream = io.StringIO()
    console = Console(file=stream, width=100, highlight=False)
    display = WatchDisplay(clock)
    display.on_job(Job(id="2026-11-22_1", name="fashion", current_state=JobState.RUNNING))
    latency = {"count": 4, "sum": 400, "min": 50, "max": 250, "mean": 100}
    later = {"count": 6, "sum": 800, "min": 50, "max": 250, "mean": 133}
    name = MetricStructuredName(name="latency_ms", context={"namespace": "flexpack"})
    for clock.now, done, distribution in ((10.0, 1_000, latency), (20.0, 3_000, later)):
        display.on_metrics(
            [
                *counters(rows_found=10_000, rows_read=done, predictions=done - 5, dead_letters=5),
                *counters(namespace="flexpack.dead_letters", ValueError=3, TypeError=2),
                Metric(name=name, distribution=distribution),
            ]
        )
    for number in range(20):
        display.on_message(message(f"message {number}"))
    display.on_message(message("Executing operation A+B"))
    display.on_outage(Unreachable("no connection"))
    console.print(display.render())
    shown = stream.getvalue()
    lines = [line.rstrip() for line in shown.splitlines()]
    assert lines[0] == "job           fashion  2026-11-22_1"
    assert lines[2] == "rows          2,995 predictions, 5 dead letters of 10,000 rows (30%)"
    assert lines[3] == "speed         150 rows/s, 47 s left"
    assert "latency       mean 133 ms now, 133 ms in all, 250 ms at most" in lines
    assert "dead letters  3 x ValueError" in lines
    assert "              2 x TypeError" in lines
    assert "message 19" in shown
    assert "message 11" not in shown
    assert "Executing" not in shown
    assert lines[-1] == "no connection; trying again"


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


def test_the_last_error_does_not_repeat_the_cause(clock):
    stream = io.StringIO()
    cause = "Workflow failed. Causes: A+B failed., See the log. Root cause: ValueError: no\n\tno"
    PlainProgress(stream, clock=clock).on_message(message(cause, MessageImportance.ERROR))
    assert stream.getvalue().endswith("Causes: A+B failed., See the log.\n")


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
