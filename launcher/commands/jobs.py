"""``flexpack jobs``."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any

from launcher.commands.connection import format_jobs_command, open_dataflow
from launcher.commands.progress import format_count, open_progress
from launcher.commands.table import print_table
from launcher.errors import ApiError, InputError
from launcher.google.rest import to_rest
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.jobs.dataflow import Dataflow
from launcher.jobs.diagnosis import diagnose_job
from launcher.jobs.errors import JobFailed, JobTimeout
from launcher.jobs.records import MessageImportance, Metric, Milestone, RowCounts
from launcher.jobs.verify import ReadBack, format_compared
from launcher.jobs.waiting import wait_for_job

# A launcher has ten minutes or so, and workers with a large image and a GPU take up to thirty.
_TIMEOUTS_SEC = {
    Milestone.STAGED: 30 * 60.0,
    Milestone.WORKERS_STARTED: 60 * 60.0,
    Milestone.ENDED: 24 * 60 * 60.0,
}


def list_jobs(args: Namespace) -> int:
    """List jobs, newest first."""
    dataflow = open_dataflow(args)
    jobs = dataflow.list(status=args.status.upper(), name=args.name, limit=args.limit)
    if args.format == "json":
        _print_json(jobs)
    elif not jobs:
        print(f"No such jobs of {dataflow.project} in {dataflow.region}.")
    else:
        print_table(
            ("JOB_ID", "NAME", "STATE", "CREATED"),
            [(job.id, job.name, job.current_state, _format(job.create_time)) for job in jobs],
        )
    return 0


def describe(args: Namespace) -> int:
    """Show one job: its state, times, labels, and how many rows it has handled."""
    dataflow = open_dataflow(args)
    with _found(args.job_id, dataflow):
        job = dataflow.get(args.job_id)
    if args.format == "json":
        _print_json(job)
        return 0
    lines = [
        ("job id", job.id),
        ("name", job.name),
        ("type", (job.type or "").removeprefix("JOB_TYPE_").lower()),
        ("state", job.current_state),
        ("since", _format(job.current_state_time)),
        ("created", _format(job.create_time)),
        ("region", job.location),
        ("labels", ", ".join(f"{key}={value}" for key, value in sorted(job.labels.items()))),
    ]
    counts = RowCounts.from_metrics(dataflow.metrics(job.id))
    if counts != RowCounts():
        lines.append(
            (
                "rows",
                f"{counts.rows_read:,} read, {format_count(counts.predictions, 'prediction')}, "
                f"{format_count(counts.dead_letters, 'dead letter')}",
            )
        )
    for title, text in lines:
        if text not in ("", "-"):
            print(f"{title:9}{text}")
    return 0


def messages(args: Namespace) -> int:
    """Show a job's messages, oldest first."""
    importance = MessageImportance[args.importance.upper()]
    dataflow = open_dataflow(args)
    with _found(args.job_id, dataflow):
        found = dataflow.messages(args.job_id, minimum_importance=importance)
    if args.format == "json":
        _print_json(found)
        return 0
    for message in found:
        level = message.message_importance.removeprefix("JOB_MESSAGE_")
        print(f"{_format(message.time)}  {level:8}  {message.message_text.rstrip()}")
    if not found:
        print(f"No messages of importance {args.importance} or above.")
    return 0


def metrics(args: Namespace) -> int:
    """Show a job's metrics, by default the pipeline's own."""
    dataflow = open_dataflow(args)
    with _found(args.job_id, dataflow):
        all_metrics = dataflow.metrics(args.job_id)
    found = [
        metric
        for metric in all_metrics
        if args.source == "all"
        or (args.source == "service") == metric.name.origin.startswith("dataflow")
    ]
    if args.format == "json":
        _print_json(found)
        return 0
    committed = [metric for metric in found if not metric.is_tentative]
    if committed:
        print_table(
            ("NAME", "NAMESPACE", "STEP", "VALUE"),
            sorted(
                (
                    metric.name.name,
                    metric.name.context.get("namespace", metric.name.origin),
                    metric.name.context.get("step", ""),
                    _format_value(metric),
                )
                for metric in committed
            ),
        )
    else:
        print("No metrics yet.")
    return 0


def wait(args: Namespace) -> int:
    """Follow a job to its end."""
    dataflow = open_dataflow(args)
    with _found(args.job_id, dataflow):
        follow(dataflow, args.job_id, timeout_sec=args.timeout_sec)
    return 0


def cancel(args: Namespace) -> int:
    """Cancel a job."""
    dataflow = open_dataflow(args)
    with _found(args.job_id, dataflow):
        dataflow.cancel(args.job_id, force=args.force)
    print(f"Cancelling {args.job_id}; what it has not written is lost.")
    print(f"Follow it:  {format_jobs_command('wait', args.job_id, dataflow)}")
    return 0


def drain(args: Namespace) -> int:
    """Drain a streaming job."""
    dataflow = open_dataflow(args)
    with _found(args.job_id, dataflow):
        dataflow.drain(args.job_id)
    print(f"Draining {args.job_id}: it finishes what it has read, then stops.")
    print(f"Follow it:  {format_jobs_command('wait', args.job_id, dataflow)}")
    return 0


def follow(
    dataflow: Dataflow,
    job_id: str,
    *,
    until: Milestone = Milestone.ENDED,
    timeout_sec: float | None = None,
    asked: FlexTemplateRuntimeEnvironment | None = None,
) -> None:
    """Show a job's progress until it ends or has come so far.

    Args:
        timeout_sec: how long to wait; None for ``_TIMEOUTS_SEC``.
        asked: what the launch asked for, where this is known; the job is compared with it.

    Raises:
        JobError: it did not end well, is not what was asked for, or did not come so far in time.
    """
    if timeout_sec is None:
        timeout_sec = _TIMEOUTS_SEC[until]
    try:
        with open_progress(sys.stdout) as progress:
            observer = ReadBack(dataflow, asked, progress) if asked else progress
            job = wait_for_job(
                dataflow, job_id, until=until, timeout_sec=timeout_sec, observer=observer
            )
    except JobFailed as error:
        again = format_jobs_command("messages", job_id, dataflow)
        diagnosis = diagnose_job(
            dataflow, error, staging_location=asked.staging_location if asked else None
        )
        known = diagnosis.format()
        raise JobFailed(
            f"job {job_id} failed"
            + (f".\n{known}\nIts" if known else "; its")
            + f" messages stand above, and again with '{again} --importance error'",
            error.job,
            error.messages,
            diagnosis,
        ) from error
    except JobTimeout as error:
        if until is Milestone.ENDED:
            raise
        raise JobTimeout(f"{error}. The job was not read back", error.job) from error
    except KeyboardInterrupt:
        print(f"The job goes on. Stop it:  {format_jobs_command('cancel', job_id, dataflow)}")
        raise
    finally:
        if summary := progress.summarize():
            print(summary, flush=True)
    if job.current_state.is_terminal:
        counts = RowCounts.from_metrics(dataflow.metrics(job_id))
        if counts.dead_letters and not counts.predictions:
            print(
                "flexpack: warning: nothing was predicted; every row is a dead letter, and each "
                "tells its reason: in the files OUTPUT-errors-*, or at the dead-letter topic",
                file=sys.stderr,
            )
    if until is not Milestone.ENDED and isinstance(observer, ReadBack):
        print(format_compared(observer.compared or ()))
        if not job.current_state.is_terminal:
            print(f"The job goes on. Follow it:  {format_jobs_command('wait', job_id, dataflow)}")


@contextmanager
def _found(job_id: str, dataflow: Dataflow) -> Iterator[None]:
    """Say how to find a job where there is none of that id."""
    try:
        yield
    except ApiError as error:
        if error.status_code != HTTPStatus.NOT_FOUND:
            raise
        place = f"--project {dataflow.project} --region {dataflow.region}"
        raise InputError(
            f"JOB_ID {job_id!r}: there is no such job of {dataflow.project} in {dataflow.region}; "
            f"'flexpack jobs list {place}' shows the ids, and --region names another region"
        ) from error


def _print_json(records: Any) -> None:
    """Print a record, or several, as the REST API writes them."""
    if isinstance(records, Sequence):
        json_object: Any = [to_rest(record) for record in records]
    else:
        json_object = to_rest(records)
    print(json.dumps(json_object, indent=2))


def _format(time: datetime | None) -> str:
    """Return a time in the user's own zone; the service writes a time not yet known as 1970."""
    if time is None or time.timestamp() == 0:
        return "-"
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _format_value(metric: Metric) -> str:
    if isinstance(metric.scalar, (int, float)):
        return f"{metric.scalar:,}"
    values = (metric.scalar, metric.distribution, metric.set, metric.gauge)
    value = next((value for value in values if value is not None), "")
    if isinstance(value, dict):
        return " ".join(f"{name}={number}" for name, number in value.items())
    return str(value)
