"""``flexpack emulator``."""

from __future__ import annotations

import os
from typing import Any

from launcher.arguments.parser import Number, add_command, add_group

DEFAULT_DATA_DIR = ".flexpack"


def add_emulator(commands: Any) -> None:
    """Add ``flexpack emulator``."""
    verbs = add_group(commands, "emulator", "start, use and stop the local Dataflow")
    start = add_command(
        verbs,
        "start",
        "emulator:start",
        "serve Dataflow, Cloud Storage and Pub/Sub on this machine",
        example='flexpack emulator start --detach && eval "$(flexpack emulator env)"',
    )
    start.add_argument(
        "--port",
        type=Number(0),
        default=9100,
        help="of Dataflow; 0 picks free ones (default: 9100)",
    )
    start.add_argument(
        "--storage-port", type=Number(0), help="of Cloud Storage (default: the one after --port)"
    )
    start.add_argument(
        "--images", metavar="FILE", help="images.toml: which environment stands for which image"
    )
    start.add_argument(
        "--max-jobs",
        type=Number(1),
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
        help="that the clients shall use (default: CLOUDSDK_CORE_PROJECT, local-project)",
    )
    stop = add_command(verbs, "stop", "emulator:stop", "stop it and the jobs that it runs")
    for parser in (start, env, stop):
        parser.add_argument(
            "--data-dir",
            default=DEFAULT_DATA_DIR,
            metavar="DIR",
            help="where its jobs and objects are kept (default: %(default)s)",
        )
