"""``flexpack init``."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from launcher.commands.parser import CommandParser, KeyValues, set_example
from launcher.errors import FlexpackError, InputError
from launcher.extras import find_missing, find_requirement, require_extras
from launcher.package.model_file import read_model_file
from launcher.package.scaffold import (
    FILE,
    KINDS,
    SAMPLE_PROGRAM,
    Scaffold,
    check_name,
    write_project,
)

_EXTRAS = ("template", "emulator")
_SAMPLE_TIMEOUT_SEC = 300


def add_flags(parser: CommandParser) -> None:
    """Add the command's flags and its handler."""
    parser.set_defaults(run=_run)
    set_example(parser, "flexpack init churn --kind table && make -C churn try")
    parser.add_argument(
        "folder", metavar="NAME", type=Path, help="the project's folder; its last part is its name"
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--kind",
        choices=KINDS,
        default=KINDS[0],
        help=f"what the model predicts: {', '.join(KINDS)} (default: {KINDS[0]})",
    )
    start.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help="start from your model file or folder instead: TorchScript, .pt2, ONNX, XGBoost, "
        "scikit-learn or Hugging Face",
    )
    parser.add_argument(
        "--parameters",
        action=KeyValues,
        default={},
        metavar="NAME=VALUE",
        help="an option of the model of --checkpoint, such as feature_columns=age,visits; repeat "
        "the flag for each",
    )


def _run(args: Namespace) -> int:
    """Write a project for the user, with a sample and a model trained on similar data."""
    folder: Path = args.folder
    check_name(folder.name)
    if args.parameters and args.checkpoint is None:
        raise InputError("--parameters: sets options of the model of --checkpoint; give that too")
    file = None
    if args.checkpoint is not None:
        require_extras("init --checkpoint", "template")
        file = read_model_file(args.checkpoint, args.parameters)
    scaffold = Scaffold(
        name=folder.name,
        kind=FILE if file else args.kind,
        file=file,
        requirement=find_requirement(_EXTRAS),
        bin_folder=Path(sys.executable).parent,
    )
    for path in write_project(scaffold, folder):
        print(f"  {path}")
    sys.stdout.flush()
    missing = find_missing("template")
    if not missing:
        _make_sample(folder)
    what = f", {file.kind}" if file else ""
    print(f"\nThe model is {scaffold.model}{what}. Next:")
    print(f"  cd {shlex.quote(os.fspath(folder))}")
    if missing:
        print(f"  make venv    # {missing[0]} is not installed here; minutes, once")
    print("  make try     # predict the sample in a separate process")
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
