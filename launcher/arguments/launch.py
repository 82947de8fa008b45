"""``flexpack run``, ``check`` and ``accelerators``: a launch, and what one can know before it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from launcher.arguments.parser import Items, Number, add_command
from launcher.arguments.shared import (
    add_environment_flags,
    add_ignore,
    add_parameters,
    add_place,
    add_timeout,
)


def add_run(commands: Any) -> None:
    """Add ``flexpack run``."""
    parser = add_command(
        commands,
        "run",
        "run:run",
        "launch a template and follow its job",
        example="flexpack run churn-1 --wait \\\n"
        "    --template-file-gcs-location gs://my-bucket/templates/batch.json \\\n"
        "    --staging-location gs://my-bucket/staging \\\n"
        "    --parameters 'input=gs://my-bucket/in/*.csv' \\\n"
        "    --parameters output=gs://my-bucket/out/churn \\\n"
        "    --parameters model_path=gs://my-bucket/churn.pth",
    )
    parser.add_argument(
        "job_name", metavar="JOB_NAME", help="lower-case letters, digits and '-', as in churn-1"
    )
    parser.add_argument(
        "--template-file-gcs-location",
        required=True,
        metavar="GCS_PATH",
        help="the container spec, gs://BUCKET/PATH.json",
    )
    add_parameters(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="check, print the request and launch nothing"
    )
    parser.add_argument(
        "--no-check", action="store_true", help="launch unchecked; with --dry-run, read nothing"
    )
    add_ignore(parser)
    parser.add_argument(
        "--fallback",
        action=Items,
        default=(),
        metavar="KEY=VALUE,...",
        help="where to launch next when there is no capacity or quota, for example "
        "region=europe-west4 or accelerator=nvidia-tesla-t4:1; repeat the flag for each rung",
    )
    follow = parser.add_mutually_exclusive_group()
    follow.add_argument(
        "--wait",
        action="store_true",
        help="follow the job to its end and exit by its outcome; without it, until the job is "
        "read back",
    )
    follow.add_argument(
        "--async",
        action="store_true",
        dest="is_async",
        help="return once the launch is accepted, and read nothing back",
    )
    add_timeout(parser, "a day with --wait, else half an hour, or an hour with --fallback")
    parser.add_argument(
        "--launch-timeout-sec",
        type=Number(1),
        metavar="SECONDS",
        help="how long the service waits for the template's launcher",
    )
    add_place(parser)
    add_environment_flags(parser, "the job's environment; what is not given, the spec decides")


def add_check(commands: Any) -> None:
    """Add ``flexpack check``."""
    parser = add_command(
        commands,
        "check",
        "check:check",
        "find what would fail, before it is launched",
        example="flexpack check --rehearse \\\n"
        "    --template-file-gcs-location gs://my-bucket/templates/batch.json \\\n"
        "    --parameters 'input=gs://my-bucket/in/*.csv' \\\n"
        "    --parameters output=gs://my-bucket/out/churn \\\n"
        "    --parameters model_path=gs://my-bucket/churn.pth",
    )
    parser.add_argument(
        "--template-file-gcs-location",
        metavar="PATH",
        help="check a launch of this container spec too, gs://... or a local file",
    )
    parser.add_argument("--job-name", default="checked", help=argparse.SUPPRESS)
    add_parameters(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    add_ignore(parser)
    parser.add_argument("--codes", action="store_true", help="list the codes and what they mean")
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="launch on a local Dataflow with the network off, and predict a sample of the input",
    )
    parser.add_argument(
        "--sample",
        action=Items,
        default=(),
        metavar="FILE",
        help="messages for a rehearsed streaming job: a file with a JSON message a line, or an "
        "image; repeat the flag for each",
    )
    parser.add_argument(
        "--live", action="store_true", help="ask the project, reading only, as you are logged in"
    )
    parser.add_argument(
        "--rehearse-timeout-sec",
        type=Number(1, float),
        default=120.0,
        metavar="SECONDS",
        help="how long the rehearsed launcher may take (default: 120)",
    )
    files = parser.add_argument_group("files of the template; what is not named is looked for")
    files.add_argument("--project-root", default=".", metavar="DIR", help="default: here")
    files.add_argument("--dockerfile", metavar="FILE")
    files.add_argument("--lock", action="append", metavar="FILE", help="requirements; repeatable")
    files.add_argument("--entry-file", metavar="FILE", help="what the launcher runs")
    files.add_argument("--metadata-file", action="append", metavar="FILE", help="repeatable")
    files.add_argument(
        "--checkpoint", metavar="FILE", help="the weights; default: the parameter model_path"
    )
    files.add_argument(
        "--python",
        default=sys.executable,
        metavar="FILE",
        help="interpreter with the image's packages (default: this one)",
    )
    add_place(parser)
    add_environment_flags(parser, "the job's environment; what is not given, the spec decides")


def add_accelerators(commands: Any) -> None:
    """Add ``flexpack accelerators``."""
    parser = add_command(
        commands, "accelerators", "accelerators:accelerators", "list the GPUs of Dataflow workers"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
