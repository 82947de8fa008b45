"""What a terminal or a log shows while a job runs.

Two observers for ``wait_for_job``: a live line at the bottom of a terminal with the messages
scrolling above it, and plain lines for anything else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from launcher.commands.output import format_count
from launcher.errors import ServiceError
from launcher.jobs.progress import JobProgress, Speed
from launcher.jobs.records import (
    Job,
    JobMessage,
    JobObserver,
    JobState,
    MessageImportance,
    Metric,
    RowCounts,
)
from launcher.jobs.tracebacks import shorten_tracebacks

_COUNTER_LINE_EVERY_SEC = 4.5  # at every poll, one every five seconds
_LINE_WIDTH = 200
_ROOT_CAUSE = re.compile(r"(?s) Root cause: .*")
MESSAGE_STYLES = {MessageImportance.WARNING: "yellow", MessageImportance.ERROR: "red"}


class Progress(JobObserver):
    """An observer that counts, and can summarize what it saw."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._meter = Meter(clock)

    def summarize(self) -> str:
        """Return one line: the state, how long it took, and the rows; "" if nothing was seen."""
        return self._meter.summarize()


@contextmanager
def open_progress(
    stream: TextIO, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """Show progress on a stream until the context ends: live on a terminal, else as lines."""
    if not stream.isatty():
        yield PlainProgress(stream, clock=clock)
        return
    progress = LiveProgress(Console(file=stream, highlight=False), clock=clock)
    with progress.shown():
        yield progress


class Meter:
    """Keeps the state, the rows and the rate of one job."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._job = Job(id="")
        self._speed = Speed()
        self._committed = RowCounts()
        self.progress = JobProgress()

    @property
    def state(self) -> JobState:
        return self._job.current_state

    @property
    def elapsed_sec(self) -> float:
        """How long the job has been watched."""
        return self._clock() - self._started

    @property
    def ran_sec(self) -> float:
        """How long the job ran, once it has ended; before that, how long it has been watched."""
        job = self._job
        if job.current_state.is_terminal and job.create_time and job.current_state_time:
            return max(0.0, (job.current_state_time - job.create_time).total_seconds())
        return self.elapsed_sec

    def watch(self, job: Job) -> bool:
        """Record the job's state; return whether it changed."""
        changed = job.current_state is not self.state
        if changed and job.current_state is JobState.RUNNING:
            self._speed.add(self._clock(), JobProgress())  # rows per second count from here
        self._job = job
        return changed

    def count(self, metrics: Sequence[Metric]) -> bool:
        """Record new metrics; return whether the rows changed."""
        progress = JobProgress.from_metrics(metrics)
        self._committed = RowCounts.from_metrics(metrics)
        self._speed.add(self._clock(), progress)
        changed = progress != self.progress
        self.progress = progress
        return changed

    @property
    def rows_per_sec(self) -> float:
        return self._speed.rows_per_sec

    @property
    def latency_ms(self) -> float | None:
        return self._speed.latency_ms

    def rows(self) -> str:
        """Return the rows in words, or "" for a job without the kit's counters."""
        progress = self.progress
        if progress.is_splitting and not progress.counts.dead_letters:
            return f"{format_count(progress.rows_found, 'row')} found"
        if progress.counts == RowCounts():
            return ""
        words = _format_rows(progress.counts)
        if progress.total:
            words += f" of {progress.total:,} rows ({progress.done / progress.total:.0%})"
        return words

    def speed(self) -> str:
        """Return the rows per second and, if the rows are known, the time left; or nothing."""
        if not self.progress.done:
            return ""
        rate = self.rows_per_sec
        words = f"{rate:,.0f} rows/s"
        left = (self.progress.total or 0) - self.progress.done
        if left > 0 and rate > 0:
            words += f", {_format_duration(left / rate)} left"
        return words

    def summarize(self) -> str:
        if not self._job.id:
            return ""
        counts = self._committed
        read = ""
        if counts != RowCounts():
            read = f": {format_count(counts.rows_read, 'row')} read, {_format_rows(counts)}"
        return f"{self.state} after {self.ran_sec:.1f} s{read}"


class PlainProgress(Progress):
    """A line for each change of state, each message, and the rows every few seconds."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._stream = stream
        self._counted_at = 0.0
        self._is_out = False

    def on_job(self, job: Job) -> None:
        self._is_out = False
        if self._meter.watch(job):
            self._line(job.current_state)

    def on_message(self, message: JobMessage) -> None:
        if is_noise(message):
            return
        importance = message.message_importance
        level = (
            f"{importance.removeprefix('JOB_MESSAGE_')}: " if importance in MESSAGE_STYLES else ""
        )
        self._line(f"{level}{shorten(message)}")

    def on_metrics(self, metrics: Sequence[Metric]) -> None:
        changed = self._meter.count(metrics)
        elapsed = self._meter.elapsed_sec
        if changed and self._meter.rows() and elapsed - self._counted_at >= _COUNTER_LINE_EVERY_SEC:
            self._counted_at = elapsed
            self._line(", ".join(filter(None, (self._meter.rows(), self._meter.speed()))))

    def on_outage(self, error: ServiceError) -> None:
        if not self._is_out:
            self._is_out = True
            self._line(f"{error}; trying again")

    def _line(self, text: str) -> None:
        first, *others = text.splitlines() or [""]
        print(f"{self._meter.elapsed_sec:7.1f}s  {first}", file=self._stream)
        for line in others:
            print(f"{'':8}  {line}", file=self._stream)
        self._stream.flush()


class LiveProgress(Progress):
    """A line that keeps itself up to date, with the messages scrolling above it."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._console = console
        self._spinner = Spinner("dots")
        self._outage = ""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the line until the context ends, then remove it."""
        with Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=5,
            transient=True,
        ):
            yield

    def on_job(self, job: Job) -> None:
        self._outage = ""
        self._meter.watch(job)

    def on_message(self, message: JobMessage) -> None:
        if is_noise(message):
            return
        text = shorten(message)
        self._console.print(Text(text, style=MESSAGE_STYLES.get(message.message_importance, "")))

    def on_metrics(self, metrics: Sequence[Metric]) -> None:
        self._meter.count(metrics)

    def on_outage(self, error: ServiceError) -> None:
        self._outage = "Dataflow cannot be reached, trying again"

    def _render(self) -> RenderableType:
        meter = self._meter
        parts = [
            "waiting" if meter.state is JobState.UNKNOWN else meter.state.value,
            f"{meter.elapsed_sec:.0f} s",
            meter.rows(),
            meter.speed(),
            self._outage,
        ]
        self._spinner.update(text=Text("  ".join(part for part in parts if part)))
        return self._spinner


def _format_rows(counts: RowCounts) -> str:
    return (
        f"{format_count(counts.predictions, 'prediction')}, "
        f"{format_count(counts.dead_letters, 'dead letter')}"
    )


def _format_duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def is_noise(message: JobMessage) -> bool:
    """Return whether a message is about a stage, in whose name Dataflow lists every fused step.

    The rows show how far the job is; ``flexpack jobs messages`` shows these messages too.
    """
    return message.message_text.startswith(("Executing operation ", "Finished operation "))


def shorten(message: JobMessage) -> str:
    """Return a message's text.

    Tracebacks in warnings and errors keep only the user's own line and the exception. The last
    message of a failed job loses the cause, because an earlier error has given it. A job
    that fails ends with its last traceback; ``flexpack jobs messages`` shows everything.
    """
    text = message.message_text.rstrip()
    if message.message_importance in MESSAGE_STYLES:
        if text.startswith("Workflow failed. Causes: "):
            return _ROOT_CAUSE.sub("", text)
        return shorten_tracebacks(text)
    return "\n".join(
        line if len(line) <= _LINE_WIDTH else f"{line[: _LINE_WIDTH - 3]}..."
        for line in text.splitlines()
    )
