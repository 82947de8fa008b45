"""``flexpack jobs``."""

from __future__ import annotations

import sys
from argparse import Namespace
from datetime import datetime
from typing import TYPE_CHECKING

from launcher.commands.connection import find_project, find_region, format_jobs_command
from launcher.commands.job_names import explain_missing, find_job_id
from launcher.commands.options import add_place, add_timeout
from launcher.commands.output import format_count, print_json, print_table
from launcher.commands.parser import Command, CommandParser, Number, add_verb, add_verbs
from launcher.jobs.records import Job, MessageImportance, Metric, RowCounts
from template.parameters import TEMPLATES

if TYPE_CHECKING:
    from launcher.jobs.dataflow import Dataflow


def add_flags(parser: CommandParser) -> None:
    """Add the subcommands and their flags."""
    verbs = add_verbs(parser)

    def add(name: str, help_text: str, run: Command) -> CommandParser:
        verb = add_verb(verbs, name, help_text, run)
        if run is _watch:
            newest = "id or name (default: the newest active job)"
            verb.add_argument("job_id", nargs="?", metavar="JOB", help=newest)
        elif run is not _list:
            verb.add_argument("job_id", metavar="JOB", help="its id, or its name")
        add_place(verb)
        return verb

    listing = add("list", "list jobs, newest first", _list)
    listing.add_argument("--status", choices=("all", "active", "terminated"), default="all")
    listing.add_argument("--name", help="only jobs of this name")
    listing.add_argument("--limit", type=Number(1), default=20, metavar="N", help="default: 20")
    describe = add(
        "describe", "show a job: state, times, labels, parameters, rows, output", _describe
    )
    messages = add("messages", "show a job's messages", _messages)
    messages.add_argument(
        "--importance",
        choices=("debug", "detailed", "basic", "warning", "error"),
        default="basic",
        help="this importance and above (default: basic)",
    )
    metrics = add("metrics", "show a job's metrics", _metrics)
    metrics.add_argument(
        "--source",
        choices=("user", "service", "all"),
        default="user",
        help="whose metrics (default: user, the pipeline's own)",
    )
    for verb in (listing, describe, messages, metrics):
        verb.add_argument("--format", choices=("text", "json"), default="text")
    add_timeout(add("wait", "follow a job to its end; exit by its outcome", _wait), "a day")
    add("watch", "show a job live: rows, speed, dead letters, latency, messages", _watch)
    cancel = add("cancel", "stop a job at once", _cancel)
    cancel.add_argument(
        "--force", action="store_true", help="for a job whose cancelling has hung for 30 minutes"
    )
    add("drain", "let a streaming job finish what it has read, then stop", _drain)


def _list(args: Namespace) -> int:
    """List jobs, newest first."""
    dataflow = _open(args)
    jobs = dataflow.list(status=args.status.upper(), name=args.name, limit=args.limit)
    if args.format == "json":
        print_json(jobs)
    elif not jobs:
        print(f"No such jobs of {dataflow.project} in {dataflow.region}.")
    else:
        print_table(
            ("JOB_ID", "NAME", "STATE", "CREATED"),
            [(job.id, job.name, job.current_state, _format(job.create_time)) for job in jobs],
        )
    return 0


def _describe(args: Namespace) -> int:
    """Show one job: its state, times, labels, parameters, rows, and where its output is."""
    from launcher.commands.display import RunDisplay
    from launcher.jobs.results import find_results

    dataflow = _open_job(args)
    with explain_missing(args.job_id, dataflow):
        job = dataflow.get(args.job_id, view="JOB_VIEW_ALL")
    if args.format == "json":
        print_json(job)
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
    _print_parameters(job)
    RunDisplay(sys.stdout, job.id, dataflow.project, dataflow.region).show_results(
        find_results(dataflow, job)
    )
    return 0


def _print_parameters(job: Job) -> None:
    """Print the template parameters that the job was given, without the defaults."""
    options = job.environment.options if job.environment else {}
    declared = {each.name: each for template in TEMPLATES for each in template.parameters}
    given = {
        name: options[name]
        for name, parameter in declared.items()
        if options.get(name) not in (None, "", parameter.default)
    }
    for place, (name, value) in enumerate(given.items()):
        print(f"{'' if place else 'given':9}{name}={value}")


def _messages(args: Namespace) -> int:
    """Show a job's messages, oldest first."""
    importance = MessageImportance[args.importance.upper()]
    dataflow = _open_job(args)
    with explain_missing(args.job_id, dataflow):
        found = dataflow.messages(args.job_id, minimum_importance=importance)
    if args.format == "json":
        print_json(found)
        return 0
    for message in found:
        level = message.message_importance.removeprefix("JOB_MESSAGE_")
        print(f"{_format(message.time)}  {level:8}  {message.message_text.rstrip()}")
    if not found:
        print(f"No messages of importance {args.importance} or above.")
    return 0


def _metrics(args: Namespace) -> int:
    """Show a job's metrics, by default the pipeline's own."""
    dataflow = _open_job(args)
    with explain_missing(args.job_id, dataflow):
        all_metrics = dataflow.metrics(args.job_id)
    found = [
        metric
        for metric in all_metrics
        if args.source == "all"
        or (args.source == "service") == metric.name.origin.startswith("dataflow")
    ]
    if args.format == "json":
        print_json(found)
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


def _wait(args: Namespace) -> int:
    """Follow a job to its end."""
    from launcher.commands.display import RunDisplay
    from launcher.jobs.errors import JobFailed
    from launcher.jobs.following import follow_job

    dataflow = _open_job(args)
    display = RunDisplay(sys.stdout, args.job_id, dataflow.project, dataflow.region)
    try:
        with explain_missing(args.job_id, dataflow):
            followed = follow_job(
                dataflow, args.job_id, timeout_sec=args.timeout_sec, observer=display
            )
    except KeyboardInterrupt:
        display.show_interrupted()
        raise
    except JobFailed as error:
        display.show_results(error.results)
        raise
    finally:
        display.on_followed()
    display.show_end(followed.job, followed.counts, results=followed.results)
    return 0


def _watch(args: Namespace) -> int:
    """Show a job live; without a terminal, as ``wait`` shows it."""
    from launcher.commands.watch import find_watched, watch_job

    dataflow = _open(args)
    args.job_id = find_job_id(dataflow, args.job_id) if args.job_id else find_watched(dataflow)
    if not sys.stdout.isatty():
        args.timeout_sec = None
        return _wait(args)
    with explain_missing(args.job_id, dataflow):
        return watch_job(args, dataflow)


def _cancel(args: Namespace) -> int:
    """Cancel a job."""
    dataflow = _open_job(args, active=True)
    with explain_missing(args.job_id, dataflow):
        dataflow.cancel(args.job_id, force=args.force)
    print(f"Cancelling {args.job_id}; results that it has not written are lost.")
    print(f"Follow it:  {_format_wait(args.job_id, dataflow)}")
    return 0


def _drain(args: Namespace) -> int:
    """Drain a streaming job."""
    dataflow = _open_job(args, active=True)
    with explain_missing(args.job_id, dataflow):
        dataflow.drain(args.job_id)
    print(f"Draining {args.job_id}: it finishes what it has read, then stops.")
    print(f"Follow it:  {_format_wait(args.job_id, dataflow)}")
    return 0


def _open(args: Namespace) -> Dataflow:
    # Loaded only here, so that --help answers at once.
    from launcher.jobs.dataflow import Dataflow

    return Dataflow(find_project(args), find_region(args))


def _open_job(args: Namespace, *, active: bool = False) -> Dataflow:
    """Return the client, and turn ``args.job_id`` into an id."""
    dataflow = _open(args)
    args.job_id = find_job_id(dataflow, args.job_id, active=active)
    return dataflow


def _format_wait(job_id: str, dataflow: Dataflow) -> str:
    return format_jobs_command("wait", job_id, dataflow.project, dataflow.region)


def _format(time: datetime | None) -> str:
    """Return a time in the user's time zone; the service writes 1970 for a time not yet known."""
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
