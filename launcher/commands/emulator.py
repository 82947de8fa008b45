"""``flexpack emulator``: the local Dataflow."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launcher.commands.parser import CommandParser, Number, add_verb, add_verbs, set_example
from launcher.emulator import daemon
from launcher.errors import FlexpackError, InputError

_DATA_DIR = next(option for option in daemon.OPTIONS if option.name == "data_dir")
DEFAULT_DATA_DIR = str(_DATA_DIR.default)
_START_TIMEOUT_SEC = 30.0
# An image that images.toml names may have to be unpacked first.
_START_WITH_IMAGES_TIMEOUT_SEC = 600.0


def add_flags(parser: CommandParser) -> None:
    """Add the command's verbs with their flags."""
    verbs = add_verbs(parser)
    start = add_verb(
        verbs, "start", "serve Dataflow, Cloud Storage and Pub/Sub on this machine", _start
    )
    set_example(start, 'flexpack emulator start --detach && eval "$(flexpack emulator env)"')
    for option in daemon.OPTIONS:
        if option is not _DATA_DIR:
            _add_option(start, option)
    start.add_argument("--detach", action="store_true", help="return once it serves")
    env = add_verb(verbs, "env", "print shell commands that point every client at it", _env)
    env.add_argument(
        "--project",
        default=os.environ.get("CLOUDSDK_CORE_PROJECT") or "local-project",
        help="that the clients use (default: CLOUDSDK_CORE_PROJECT, local-project)",
    )
    stop = add_verb(verbs, "stop", "stop it and the jobs that it runs", _stop)
    for verb in (start, env, stop):
        _add_option(verb, _DATA_DIR)


def _add_option(verb: CommandParser, option: daemon.Option) -> None:
    verb.add_argument(
        option.flag,
        type=Path if option.least is None else Number(option.least),
        default=option.default,
        metavar=option.metavar,
        help=option.help,
    )


def _start(args: Namespace) -> int:
    """Serve the local Dataflow, in the foreground or detached."""
    options = daemon.EmulatorOptions(
        **{option.name: getattr(args, option.name) for option in daemon.OPTIONS}
    )
    with _explained():
        if args.detach:
            running = daemon.find_running(options.data_dir)
            if running is not None:
                _refuse_other_options(args)
                _print_ready(running, args.data_dir, is_detached=True, runs_already=True)
                return 0
            timeout_sec = _START_WITH_IMAGES_TIMEOUT_SEC if options.images else _START_TIMEOUT_SEC
            info = daemon.start_detached(options, timeout_sec=timeout_sec)
            _print_ready(info, args.data_dir, is_detached=True)
        else:
            daemon.serve(
                options,
                on_ready=lambda info: _print_ready(info, args.data_dir, is_detached=False),
            )
    return 0


def _env(args: Namespace) -> int:
    """Print shell commands that point every client at the local Dataflow."""
    with _explained():
        info = daemon.find_running(args.data_dir)
    if info is None:
        raise FlexpackError(
            f"--data-dir {args.data_dir}: no local Dataflow runs on "
            f"{args.data_dir.resolve()}; start one with "
            f"'{_command('start --detach', args.data_dir)}'"
        )
    for name, value in sorted(daemon.shell_variables(info, project=args.project).items()):
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _stop(args: Namespace) -> int:
    """Stop the local Dataflow and the jobs that it runs."""
    with _explained():
        was_running = daemon.stop(args.data_dir)
    if was_running:
        print("Stopped the local Dataflow.")
    else:
        print(
            f"No local Dataflow runs on {args.data_dir.resolve()}; --data-dir names another folder."
        )
    return 0


def _refuse_other_options(args: Namespace) -> None:
    """Refuse options that the local Dataflow that runs already was not started with."""
    for option in daemon.OPTIONS:
        if option.default is None and getattr(args, option.name) is not None:
            raise InputError(
                f"{option.flag}: the local Dataflow on {args.data_dir} runs already, and keeps "
                f"what it was started with; '{_command('stop', args.data_dir)}' first"
            )


def _print_ready(
    info: daemon.EmulatorInfo, data_dir: Path, *, is_detached: bool, runs_already: bool = False
) -> None:
    print(f"The local Dataflow {'runs already' if runs_already else 'is ready'}.")
    print(f"  Dataflow  {info.dataflow_endpoint}")
    print(f"  Storage   {info.storage_endpoint}")
    print(f"  Pub/Sub   {info.pubsub_host or f'none: {info.pubsub_problem}'}")
    print(f"  data      {info.data_dir}")
    print(f'Use it in a shell:  eval "$({_command("env", data_dir)})"')
    print(f"Stop it:            {_command('stop', data_dir) if is_detached else 'Ctrl-C'}")
    sys.stdout.flush()


def _command(verb: str, data_dir: Path) -> str:
    """Return a command to copy, with the data directory where it is not the default."""
    words = f"flexpack emulator {verb}"
    return (
        words
        if data_dir == _DATA_DIR.default
        else f"{words} --data-dir {shlex.quote(str(data_dir))}"
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the emulator's errors into the launcher's: the two share no code."""
    try:
        yield
    except daemon.EmulatorOptionError as error:
        raise InputError(str(error)) from error
    except daemon.EmulatorError as error:
        raise FlexpackError(str(error)) from error
