"""What a terminal or a log shows while a job runs.

Two observers for ``wait_for_job``: a live line at the bottom of a terminal with the messages
scrolling above it, and plain lines for anything else.
"""

from __future__ import annotations

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
from launcher.jobs.records import (
    Job,
    JobMessage,
    JobObserver,
    JobState,
    MessageImportance,
    Metric,
    RowCounts,
)
from launcher.jobs.tracebacks import find_exception, find_last_traceback

_COUNTER_LINE_EVERY_SEC = 5.0
_LINE_WIDTH = 200
_STYLES = {MessageImportance.WARNING: "yellow", MessageImportance.ERROR: "red"}


class Progress(JobObserver):
    """An observer that keeps count, and can sum up what it saw."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._meter = _Meter(clock)

    def summarize(self) -> str:
        """Return one line: the state, after how long, and the rows; "" if nothing was seen."""
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


class _Meter:
    """Keeps the state, the rows and the rate of one job."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._sample = (self._started, 0)
        self._job = Job(id="")
        self.counts = RowCounts()
        self.rows_per_sec = 0.0

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
        """Take the job as it is now; return whether its state changed."""
        changed = job.current_state is not self.state
        if changed and job.current_state is JobState.RUNNING:
            self._sample = (self._clock(), 0)  # rows per second begin here
        self._job = job
        return changed

    def count(self, metrics: Sequence[Metric]) -> bool:
        """Take new metrics; return whether the rows changed."""
        counts = RowCounts.from_metrics(metrics)
        if counts == self.counts:
            return False
        now, done = self._clock(), counts.predictions + counts.dead_letters
        then, done_then = self._sample
        if now > then:
            self.rows_per_sec = max(0.0, (done - done_then) / (now - then))
        self._sample = (now, done)
        self.counts = counts
        return True

    def rows(self) -> str:
        """Return the rows as words; the empty string for a job without the kit's counters."""
        if self.counts == RowCounts():
            return ""
        return (
            f"{format_count(self.counts.predictions, 'prediction')}, "
            f"{format_count(self.counts.dead_letters, 'dead letter')}"
        )

    def summarize(self) -> str:
        if not self._job.id:
            return ""
        rows = self.rows()
        read = f": {format_count(self.counts.rows_read, 'row')} read, {rows}" if rows else ""
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
        if _is_noise(message):
            return
        importance = message.message_importance
        level = f"{importance.removeprefix('JOB_MESSAGE_')}: " if importance in _STYLES else ""
        self._line(f"{level}{_shorten(message)}")

    def on_metrics(self, metrics: Sequence[Metric]) -> None:
        changed = self._meter.count(metrics)
        elapsed = self._meter.elapsed_sec
        if changed and elapsed - self._counted_at >= _COUNTER_LINE_EVERY_SEC:
            self._counted_at = elapsed
            self._line(f"{self._meter.rows()}, {self._meter.rows_per_sec:,.0f} rows/s")

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
        """Show the line until the context ends, then take it away."""
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
        if _is_noise(message):
            return
        text = _shorten(message)
        self._console.print(Text(text, style=_STYLES.get(message.message_importance, "")))

    def on_metrics(self, metrics: Sequence[Metric]) -> None:
        self._meter.count(metrics)

    def on_outage(self, error: ServiceError) -> None:
        self._outage = "Dataflow is out of reach, trying again"

    def _render(self) -> RenderableType:
        meter = self._meter
        parts = [
            "waiting" if meter.state is JobState.UNKNOWN else meter.state.value,
            f"{meter.elapsed_sec:.0f} s",
            meter.rows(),
            f"{meter.rows_per_sec:,.0f} rows/s" if meter.rows() else "",
            self._outage,
        ]
        self._spinner.update(text=Text("  ".join(part for part in parts if part)))
        return self._spinner


def _is_noise(message: JobMessage) -> bool:
    """Return whether a message is about a stage, of which Dataflow names every fused step.

    The rows show how far the job is; ``flexpack jobs messages`` shows these messages too.
    """
    return message.message_text.startswith(("Executing operation ", "Finished operation "))


def _shorten(message: JobMessage) -> str:
    """Return a message's text; of a warning or an error all but the frames of its traceback.

    A job that fails ends with its last traceback; ``flexpack jobs messages`` shows them all.
    """
    text = message.message_text.rstrip()
    if message.message_importance in _STYLES:
        traceback = find_last_traceback(text)
        before, _, after = text.partition(traceback) if traceback else (text, "", "")
        parts = (before.rstrip(), find_exception(traceback), after.strip())
        return "\n".join(filter(None, parts))
    return "\n".join(
        line if len(line) <= _LINE_WIDTH else f"{line[: _LINE_WIDTH - 3]}..."
        for line in text.splitlines()
    )
