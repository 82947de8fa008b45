"""The ``flexpack`` command: its commands, and the output of errors.

A command's module is loaded only when it is called, so that ``--help`` answers at once. Outside
``launcher.commands``, only this module prints or exits.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from launcher.commands.parser import CommandParser, add_command
from launcher.errors import (
    CredentialsError,
    FlexpackError,
    InputError,
    NotFound,
    ServiceError,
    StorageError,
)

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 it failed, 2 bad input."""
    _show_everything()
    try:
        _refuse_other_than_text(sys.argv[1:] if argv is None else argv)
        args, unknown = build_parser().parse_known_args(argv)
        if unknown:
            args.parser.refuse(unknown[0])
        status: int = args.run(args)
        sys.stdout.flush()
    except FlexpackError as error:
        print(f"flexpack: {error}", file=sys.stderr)
        if isinstance(error, (CredentialsError, NotFound, ServiceError, StorageError)):
            _print_local_hint()
        return error.exit_status
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader, such as head, has closed the pipe; keep the interpreter from flushing to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"flexpack: {error.filename!r:.80}: {error.strerror}", file=sys.stderr)
        return 2
    return status


def _print_local_hint() -> None:
    """Report that this shell called Google Cloud although this folder has a local Dataflow."""
    from launcher.commands.connection import format_local_hint

    if hint := format_local_hint():
        print(hint, file=sys.stderr)


def _show_everything() -> None:
    """Print text that is not UTF-8, such as a file's name, with escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _refuse_other_than_text(arguments: Sequence[str]) -> None:
    for number, argument in enumerate(arguments, start=1):
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"argument {number}, {argument!a}: not UTF-8, which every service requires"
            ) from error


class _Version(argparse.Action):
    """Prints the version; it is read only then."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib import metadata

        print(f"flexpack {metadata.version('flexpack')}")
        parser.exit()


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
    parser.add_argument("--version", action=_Version, help="show flexpack's version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_command(commands, "init", "write a project of your own: a model, its data, a test", _init)
    add_command(commands, "build", "make a template's container spec and upload it", _build)
    add_command(commands, "try", "predict some rows in this process, within seconds", _try)
    add_command(commands, "check", "find what would fail, before it is launched", _check)
    add_command(commands, "run", "launch a template and follow its job", _run)
    add_command(commands, "jobs", "list, follow and end jobs, however they were launched", _jobs)
    add_command(commands, "accelerators", "list the GPUs of Dataflow workers", _accelerators)
    add_command(commands, "image", "build and test the container image", _image)
    add_command(
        commands,
        "template",
        "make every template: image, container spec, and the command that launches it",
        _template,
    )
    add_command(commands, "storage", "copy files to Cloud Storage, show objects", _storage)
    add_command(commands, "emulator", "start, use and stop the local Dataflow", _emulator)
    add_command(
        commands, "metadata", "write metadata/*.json and the documents' generated tables", _metadata
    )
    return parser


def _accelerators(parser: CommandParser) -> None:
    from launcher.commands.accelerators import add_flags

    add_flags(parser)


def _build(parser: CommandParser) -> None:
    from launcher.commands.build import add_flags

    add_flags(parser)


def _check(parser: CommandParser) -> None:
    from launcher.commands.check import add_flags

    add_flags(parser)


def _emulator(parser: CommandParser) -> None:
    from launcher.commands.emulator import add_flags

    add_flags(parser)


def _image(parser: CommandParser) -> None:
    from launcher.commands.image import add_flags

    add_flags(parser)


def _init(parser: CommandParser) -> None:
    from launcher.commands.init import add_flags

    add_flags(parser)


def _jobs(parser: CommandParser) -> None:
    from launcher.commands.jobs import add_flags

    add_flags(parser)


def _metadata(parser: CommandParser) -> None:
    from launcher.commands.metadata import add_flags

    add_flags(parser)


def _run(parser: CommandParser) -> None:
    from launcher.commands.run import add_flags

    add_flags(parser)


def _storage(parser: CommandParser) -> None:
    from launcher.commands.storage import add_flags

    add_flags(parser)


def _try(parser: CommandParser) -> None:
    from launcher.commands.try_model import add_flags

    add_flags(parser)


def _template(parser: CommandParser) -> None:
    from launcher.commands.template import add_flags

    add_flags(parser)
