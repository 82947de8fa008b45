"""``flexpack jobs watch``: a job live in the terminal."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from launcher.commands.progress import MESSAGE_STYLES, Meter, is_noise, shorten
from launcher.errors import NotFound, ServiceError
from launcher.jobs.dataflow import Dataflow
from launcher.jobs.records import Job, JobMessage, JobObserver, Metric

_SHOWN_MESSAGES = 8
_SHOWN_REASONS = 8
_BAR_WIDTH = 40


def find_watched(dataflow: Dataflow) -> str:
    """Return the id of the newest active job.

    Raises:
        NotFound: there is none.
    """
    for job in dataflow.list(status="ACTIVE"):
        if not job.current_state.is_terminal:
            return job.id
    raise NotFound(
        f"JOB: no job of {dataflow.project} in {dataflow.region} is active; 'flexpack jobs list' "
        "shows those that have ended, or name another region with --region"
    )


class WatchDisplay(JobObserver):
    """Keeps what a job shows, and renders it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._meter = Meter(clock)
        self._job = Job(id="")
        self._outage = ""
        self._messages: deque[Text] = deque(maxlen=_SHOWN_MESSAGES)

    def on_job(self, job: Job) -> None:
        self._outage = ""
        self._job = job
        self._meter.watch(job)

    def on_message(self, message: JobMessage) -> None:
        if not is_noise(message):
            style = MESSAGE_STYLES.get(message.message_importance, "")
            when = message.time.astimezone().strftime("%H:%M:%S  ") if message.time else ""
            first = shorten(message).partition("\n")[0]
            self._messages.append(
                Text(when + first, style=style, no_wrap=True, overflow="ellipsis")
            )

    def on_metrics(self, metrics: Sequence[Metric]) -> None:
        self._meter.count(metrics)

    def on_outage(self, error: ServiceError) -> None:
        self._outage = f"{error}; trying again"

    def render(self) -> RenderableType:
        """Return the current state of everything."""
        meter, job = self._meter, self._job
        progress = meter.progress
        facts = Table.grid(padding=(0, 2))
        facts.add_row("job", f"{job.name}  {job.id}")
        facts.add_row("state", f"{meter.state}  {meter.ran_sec:,.0f} s")
        if rows := meter.rows():
            facts.add_row("rows", rows)
        if speed := meter.speed():
            facts.add_row("speed", speed)
        if progress.total:
            bar = ProgressBar(total=progress.total, completed=progress.done, width=_BAR_WIDTH)
            facts.add_row("", bar)
        if progress.latencies:
            recent = meter.latency_ms
            now = "" if recent is None else f"mean {recent:,.0f} ms now, "
            mean = progress.latency_sum_ms / progress.latencies
            facts.add_row(
                "latency", f"{now}{mean:,.0f} ms in all, {progress.latency_max_ms:,} ms at most"
            )
        for number, (reason, count) in enumerate(list(progress.reasons.items())[:_SHOWN_REASONS]):
            facts.add_row("" if number else "dead letters", f"{count:,} x {reason}")
        outage = [Text(self._outage, style="yellow")] if self._outage else []
        return Group(facts, Text(""), *self._messages, *outage)


def watch_job(args: Namespace, dataflow: Dataflow) -> int:
    """Show a job until it ends or Ctrl-C is pressed; the job then keeps running.

    Raises:
        JobError: the job did not succeed.
    """
    from launcher.jobs.following import follow_job

    display = WatchDisplay()
    with Live(
        get_renderable=display.render,
        console=Console(file=sys.stdout, highlight=False),
        refresh_per_second=4,
    ):
        follow_job(dataflow, args.job_id, observer=display, poll_interval_sec=2.0)
    return 0
