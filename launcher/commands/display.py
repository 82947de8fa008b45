"""What ``flexpack run`` and ``flexpack jobs wait`` show during a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TextIO

from launcher.commands.connection import format_jobs_command
from launcher.commands.output import format_count, warn_of_findings
from launcher.commands.progress import Progress, open_progress
from launcher.errors import FlexpackError, ServiceError
from launcher.finding import Finding
from launcher.google.transport import find_endpoint, is_google
from launcher.jobs.records import Job, JobMessage, Metric, RowCounts
from launcher.jobs.results import RunResults
from launcher.jobs.verify import Comparison, format_comparisons
from launcher.launch.plan import LaunchPlan
from launcher.workflow import RunObserver

_SHOWN_REASONS = 3


class RunDisplay(RunObserver):
    """Shows a run: what is launched, the progress of each job, the fallbacks."""

    def __init__(self, stream: TextIO, job_id: str, project: str, region: str) -> None:
        self._stream = stream
        self._job_id, self._project, self._region = job_id, project, region
        self._shown = ExitStack()
        self._open: Progress | None = None

    def on_findings(self, findings: Sequence[Finding]) -> None:
        warn_of_findings(findings)

    def on_unchecked(self, reason: FlexpackError) -> None:
        print(f"flexpack: warning: the launch is not checked: {reason}", file=sys.stderr)

    def on_launched(self, job: Job, plan: LaunchPlan) -> None:
        config = plan.config
        self._job_id, self._project, self._region = job.id, config.project, config.region
        self._print(f"Launched {config.job_name} in {config.region}.")
        self._print(f"  job id   {job.id}")
        self._print(f"  follow   {self._command('wait')}")
        self._print(f"  cancel   {self._command('cancel')}")
        if is_google(find_endpoint()):
            self._print(
                f"  console  https://console.cloud.google.com/dataflow/jobs/{config.region}/"
                f"{job.id}?project={config.project}"
            )

    def on_job(self, job: Job) -> None:
        self._progress.on_job(job)

    def on_message(self, message: JobMessage) -> None:
        self._progress.on_message(message)

    def on_metrics(self, metrics: Sequence[Metric]) -> None:
        self._progress.on_metrics(metrics)

    def on_outage(self, error: ServiceError) -> None:
        self._progress.on_outage(error)

    def on_followed(self) -> None:
        self._shown.close()
        if self._open and (summary := self._open.summarize()):
            self._print(summary)
        self._open = None

    def on_fallback(self, shortage: str, plan: LaunchPlan, number: int, total: int) -> None:
        self._print(shortage)
        text = plan.fallback.text if plan.fallback else ""
        self._print(f"Nothing in the template is wrong. Trying ({number}/{total}): {text}")

    def show_end(
        self,
        job: Job,
        counts: RowCounts | None,
        comparisons: tuple[Comparison, ...] | None = None,
        results: RunResults | None = None,
    ) -> None:
        """Show the outcome of a job that is no longer followed."""
        if not job.current_state.is_terminal:
            if comparisons is not None:
                self._print(format_comparisons(comparisons))
            self._print(f"The job keeps running. Follow it:  {self._command('wait')}")
        elif counts and counts.dead_letters and not counts.predictions:
            print(
                "flexpack: warning: nothing was predicted; every row is a dead letter, with its "
                f"reason{f' in {results.dead_letters}' if results else ''}",
                file=sys.stderr,
            )

        self.show_results(results)

    def show_results(self, results: RunResults | None) -> None:
        """Show where a job's results are and why rows are missing, if the job recorded it."""
        if results is None:
            return
        if results.predictions:
            self._print(f"  predictions   {_show(results.predictions)}")
        if results.dead_letters:
            self._print(f"  dead letters  {_show(results.dead_letters)}")
        for reason, count in results.reasons[:_SHOWN_REASONS]:
            self._print(f"    {count:,} x {reason.partition(chr(10))[0]}")
        if results.unread_files:
            files = format_count(results.unread_files, "file")
            self._print(f"    {files} could not be read at all; each counts as one row")
        if results.record:
            self._print(f"  record        {_show(results.record)}")

    def show_interrupted(self) -> None:
        """Show how to stop a job that is no longer followed."""
        if self._job_id:
            self._print(f"The job keeps running. Stop it:  {self._command('cancel')}")

    @property
    def _progress(self) -> Progress:
        """The progress of one job, shown from its first event on."""
        if self._open is None:
            self._open = self._shown.enter_context(open_progress(self._stream))
        return self._open

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def _command(self, verb: str) -> str:
        return format_jobs_command(verb, self._job_id, self._project, self._region)


def _show(pattern: str) -> str:
    """Return the command that shows the files of a pattern."""
    if pattern.startswith("gs://") and pattern.endswith(".parquet"):
        return f"flexpack storage cat '{pattern}' --lines 20"
    return f"gcloud storage cat '{pattern}'" if pattern.startswith("gs://") else f"cat {pattern}"
