"""``flexpack try``."""

from __future__ import annotations

import difflib
import subprocess
import sys
from argparse import Namespace

from launcher.commands.parser import CommandParser, KeyValues, Number, set_example
from launcher.errors import InputError
from launcher.extras import require_extras
from launcher.google.storage import check_bucket
from template.parameters import BATCH, did_you_mean

_TYPO_SIMILARITY = 0.8
_OWN = ("input", "model_path", "model_class")
_NOT_TRIED = ("output", "output_format", "max_dead_letter_share", "prediction_accelerator")


def add_flags(parser: CommandParser) -> None:
    """Add the command's flags and its handler."""
    parser.set_defaults(run=_run)
    set_example(
        parser,
        "flexpack try churn.model:ChurnModel --model-path churn.pth --input customers.csv",
    )
    parser.add_argument(
        "model_class",
        nargs="?",
        metavar="MODULE:CLASS",
        help="the model, importable from this folder; default: decided by the model file",
    )
    parser.add_argument("--model-path", required=True, metavar="PATH", help="local or gs://")
    parser.add_argument(
        "--input", required=True, metavar="PATTERN", help="files to predict, local or gs://"
    )
    parser.add_argument(
        "--rows", type=Number(1), default=20, help="predict this many rows (default: 20)"
    )
    parser.add_argument(
        "--parameters",
        action=KeyValues,
        default={},
        metavar="NAME=VALUE",
        help="more parameters of the batch template, such as key_column; repeat the flag for each",
    )
    parser.add_argument(
        "--watch", action="store_true", help="predict again whenever a file changes, until Ctrl-C"
    )


def _run(args: Namespace) -> int:
    _check_parameters(args.parameters)
    require_extras("try", "template")
    for flag, path in (("--input", args.input), ("--model-path", args.model_path)):
        if path.startswith("gs://"):
            check_bucket(path.removeprefix("gs://").partition("/")[0], flag=flag)
    parameters = {
        "input": args.input,
        "model_path": args.model_path,
        **({"model_class": args.model_class} if args.model_class else {}),
        **args.parameters,
    }
    # -P: run this program even in a folder that has a package called template.
    command = [sys.executable, "-P", "-m", "template.trial", f"--rows={args.rows}"]
    command += ["--watch"] if args.watch else []
    command += [f"--{name}={value}" for name, value in parameters.items()]
    with subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # which it has received as well, and ends by
                continue


def _check_parameters(parameters: dict[str, str]) -> None:
    names = [each.name for each in BATCH.parameters if each.name not in (*_OWN, *_NOT_TRIED)]
    for name in parameters:
        if name in _OWN:
            raise InputError(f"--parameters {name}: use its own flag or position instead")
        if name in _NOT_TRIED:
            raise InputError(f"--parameters {name}: has no effect in a try; omit it")
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=_TYPO_SIMILARITY)
        if nearest and name not in names:  # any other may be an option of the model
            raise InputError(
                f"--parameters {name}: the batch template has no such parameter"
                f"{did_you_mean(name, names)}"
            )
