"""``flexpack init``."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from launcher.commands.parser import CommandParser, set_example
from launcher.errors import FlexpackError
from launcher.extras import find_missing, find_requirement
from launcher.package.scaffold import KINDS, SAMPLE_PROGRAM, Scaffold, check_name, write_project

_EXTRAS = ("template", "emulator")
_SAMPLE_TIMEOUT_SEC = 300


def add_flags(parser: CommandParser) -> None:
    """Add the command's flags and its handler."""
    parser.set_defaults(run=_run)
    set_example(parser, "flexpack init churn --kind table && make -C churn try")
    parser.add_argument(
        "folder", metavar="NAME", type=Path, help="the project's folder; its last part is its name"
    )
    parser.add_argument(
        "--kind",
        choices=KINDS,
        default=KINDS[0],
        help=f"what the model predicts: {', '.join(KINDS)} (default: {KINDS[0]})",
    )


def _run(args: Namespace) -> int:
    """Write a project for the user, with a sample and a model trained on similar data."""
    folder: Path = args.folder
    check_name(folder.name)
    scaffold = Scaffold(
        name=folder.name,
        kind=args.kind,
        requirement=find_requirement(_EXTRAS),
        bin_folder=Path(sys.executable).parent,
    )
    for path in write_project(scaffold, folder):
        print(f"  {path}")
    sys.stdout.flush()
    missing = find_missing("template")
    if not missing:
        _make_sample(folder)
    print(f"\nThe model is {scaffold.model}. Next:")
    print(f"  cd {shlex.quote(os.fspath(folder))}")
    if missing:
        print(f"  make venv    # {missing[0]} is not installed here; minutes, once")
    print("  make try     # predict the sample in a process of its own")
    print("  make test    # through the real template, with checks")
    print("  make run     # on the local Dataflow")
    return 0


def _make_sample(folder: Path) -> None:
    """Run the project's own program, in a process that may import torch."""
    try:
        done = subprocess.run(
            [sys.executable, SAMPLE_PROGRAM],
            cwd=folder,
            timeout=_SAMPLE_TIMEOUT_SEC,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FlexpackError(
            f"{folder / SAMPLE_PROGRAM}: has not ended in {_SAMPLE_TIMEOUT_SEC} seconds; the "
            "project is written, 'make try' there tries again"
        ) from error
    if done.returncode:
        raise FlexpackError(
            f"{folder / SAMPLE_PROGRAM}: failed as follows; the project is written, 'make try' "
            f"there tries again\n{done.stdout.rstrip()}"
        )
    print(done.stdout, end="")
