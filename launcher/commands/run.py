"""``flexpack run``."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from launcher.commands.connection import find_project, find_region
from launcher.commands.options import (
    add_environment_options,
    add_ignore,
    add_launch_options,
    add_place,
    add_timeout,
    read_options,
)
from launcher.commands.parser import CommandParser, Items, set_example
from launcher.commands.template_name import add_template_flags, find_template, name_template_flag
from launcher.launch.options import LaunchConfig


def add_flags(parser: CommandParser) -> None:
    """Add the command's flags and its handler."""
    parser.set_defaults(run=_run)
    set_example(
        parser,
        "flexpack run churn-1 --wait \\\n"
        "    --template-file-gcs-location gs://my-bucket/templates/batch.json \\\n"
        "    --staging-location gs://my-bucket/staging \\\n"
        "    --parameters 'input=gs://my-bucket/in/*.csv' \\\n"
        "    --parameters output=gs://my-bucket/out/churn \\\n"
        "    --parameters model_path=gs://my-bucket/churn.pth",
    )
    parser.add_argument(
        "job_name", metavar="JOB_NAME", help="lower-case letters, digits and '-', as in churn-1"
    )
    add_template_flags(parser)
    add_launch_options(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="check, and print the request without launching"
    )
    parser.add_argument(
        "--no-check", action="store_true", help="skip the checks; with --dry-run, read nothing"
    )
    add_ignore(parser)
    parser.add_argument(
        "--fallback",
        action=Items,
        default=(),
        metavar="KEY=VALUE,...",
        help="where to launch next if there is no capacity or quota, for example "
        "region=europe-west4 or accelerator=nvidia-tesla-t4:1; repeat the flag for each",
    )
    follow = parser.add_mutually_exclusive_group()
    follow.add_argument(
        "--wait",
        action="store_true",
        help="follow the job to its end, and let its outcome decide the exit status; without "
        "it, follow until the job is verified",
    )
    follow.add_argument(
        "--async",
        action="store_true",
        dest="is_async",
        help="return once the launch is accepted, without verifying the job",
    )
    add_timeout(parser, "a day with --wait, else half an hour, or an hour with --fallback")
    add_place(parser)
    add_environment_options(parser, "the job's environment; the spec sets what you omit")


def _run(args: Namespace) -> int:
    # Loaded only here, so that --help answers at once.
    from launcher.commands.display import RunDisplay
    from launcher.jobs.dataflow import Dataflow
    from launcher.jobs.errors import JobFailed
    from launcher.jobs.records import Milestone
    from launcher.launch.fallback import Fallback
    from launcher.workflow import plan_run, run_template

    location = find_template(args)
    config = read_options(
        LaunchConfig,
        args,
        job_name=args.job_name,
        template_file_gcs_location=location,
        project=find_project(args),
        region=find_region(args),
    )
    fallbacks = [Fallback.parse(text) for text in args.fallback]
    display = RunDisplay(sys.stdout, "", config.project, config.region)
    if args.dry_run:
        for plan in plan_run(
            config,
            fallbacks=fallbacks,
            check=not args.no_check,
            ignore=args.ignore,
            template_flag=name_template_flag(args),
            observer=display,
        ):
            call = Dataflow(config.project, plan.config.region).dry_run(plan.request)
            print(f"{call.method} {call.url}")
            print(json.dumps(call.body, indent=4, sort_keys=True))
        return 0
    until: Milestone | None = Milestone.WORKERS_STARTED if fallbacks else Milestone.STAGED
    if args.wait or args.is_async:
        until = Milestone.ENDED if args.wait else None
    try:
        result = run_template(
            config,
            fallbacks=fallbacks,
            until=until,
            check=not args.no_check,
            ignore=args.ignore,
            timeout_sec=args.timeout_sec,
            template_flag=name_template_flag(args),
            observer=display,
        )
    except KeyboardInterrupt:
        display.show_interrupted()
        raise
    except JobFailed as error:
        display.show_results(error.results)
        raise
    if args.is_async:
        print("The job was not verified: --async does not compare it with what was requested.")
    else:
        display.show_end(result.job, result.counts, result.comparisons, result.results)
    return 0
