"""``flexpack jobs``."""

from __future__ import annotations

import argparse
from typing import Any

from launcher.arguments.parser import Number, add_command, add_group
from launcher.arguments.shared import add_place, add_timeout


def add_jobs(commands: Any) -> None:
    """Add ``flexpack jobs`` and its verbs."""
    verbs = add_group(commands, "jobs", "list, follow and end jobs, however they were launched")

    def add(name: str, function: str, help_text: str) -> argparse.ArgumentParser:
        parser = add_command(verbs, name, f"jobs:{function}", help_text)
        if name != "list":
            parser.add_argument("job_id", metavar="JOB_ID")
        add_place(parser)
        return parser

    listing = add("list", "list_jobs", "list jobs, newest first")
    listing.add_argument("--status", choices=("all", "active", "terminated"), default="all")
    listing.add_argument("--name", help="only jobs of this name")
    listing.add_argument("--limit", type=Number(1), default=20, metavar="N", help="default: 20")
    describe = add("describe", "describe", "show a job: state, times, labels, rows")
    messages = add("messages", "messages", "show a job's messages")
    messages.add_argument(
        "--importance",
        choices=("debug", "detailed", "basic", "warning", "error"),
        default="basic",
        help="this and above (default: basic)",
    )
    metrics = add("metrics", "metrics", "show a job's metrics")
    metrics.add_argument(
        "--source",
        choices=("user", "service", "all"),
        default="user",
        help="whose metrics (default: user, the pipeline's own)",
    )
    for parser in (listing, describe, messages, metrics):
        parser.add_argument("--format", choices=("text", "json"), default="text")
    add_timeout(add("wait", "wait", "follow a job to its end, exit by its outcome"), "a day")
    cancel = add("cancel", "cancel", "stop a job at once")
    cancel.add_argument(
        "--force", action="store_true", help="for a job whose cancelling has hung for 30 minutes"
    )
    add("drain", "drain", "let a streaming job finish what it has read, then stop")
