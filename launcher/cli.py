"""The ``flexpack`` command: which command is called, and how errors are shown.

Nothing heavy is imported until a command runs, so that ``--help`` answers at once; of the modules
outside ``launcher.commands``, only this one prints or exits.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from launcher.arguments import emulator, jobs, launch, package
from launcher.arguments.parser import CommandParser
from launcher.errors import FlexpackError

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 it failed, 2 bad input."""
    try:
        args = _parse(argv)
        module, _, function = args.command.partition(":")
        command = getattr(importlib.import_module(module), function)
        status: int = command(args)
        sys.stdout.flush()
    except FlexpackError as error:
        print(f"flexpack: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader, such as head, has seen enough; keep the interpreter from flushing to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = CommandParser(
        prog="flexpack",
        description="Package a PyTorch prediction pipeline as a Dataflow Flex Template, launch it,"
        "\nand run it on a local Dataflow.",
        epilog="Without a cloud:\n"
        "  flexpack emulator start --detach\n"
        '  eval "$(flexpack emulator env)"  # points flexpack, gcloud, google clients at it',
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    package.add_build(commands)
    launch.add_check(commands)
    launch.add_run(commands)
    jobs.add_jobs(commands)
    launch.add_accelerators(commands)
    package.add_image(commands)
    package.add_template(commands)
    emulator.add_emulator(commands)
    package.add_metadata(commands)
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    args, unknown = build_parser().parse_known_args(argv)
    if unknown:
        args.parser.refuse(unknown[0])
    return args
