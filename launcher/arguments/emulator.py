"""``flexpack emulator``."""

from __future__ import annotations

import os
from typing import Any

from launcher.arguments.parser import add_command

DEFAULT_DATA_DIR = ".flexpack"


def add_emulator(commands: Any) -> None:
    """Add ``flexpack emulator``."""
    group = commands.add_parser(
        "emulator", help="the local Dataflow", description="Local Dataflow."
    )
    verbs = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    start = add_command(verbs, "start", "emulator:start", "serve Dataflow and storage locally")
    start.add_argument("--port", type=int, default=9100, help="of Dataflow (default: 9100)")
    start.add_argument("--storage-port", type=int, help="default: the port after Dataflow's")
    start.add_argument(
        "--images", metavar="FILE", help="images.toml: which environment stands for which image"
    )
    start.add_argument(
        "--max-jobs",
        type=int,
        metavar="N",
        help="run so many jobs at once, the others wait (default: one a core, 4 or more)",
    )
    start.add_argument("--detach", action="store_true", help="return once it serves")
    env = add_command(
        verbs, "env", "emulator:env", "print shell commands that point every client at it"
    )
    env.add_argument(
        "--project",
        default=os.environ.get("CLOUDSDK_CORE_PROJECT") or "local-project",
        help="project id that the clients shall use (default: local-project)",
    )
    stop = add_command(verbs, "stop", "emulator:stop", "stop it and the jobs that it runs")
    for parser in (start, env, stop):
        parser.add_argument(
            "--data-dir", default=DEFAULT_DATA_DIR, metavar="DIR", help="default: %(default)s"
        )
