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

DEFAULT_DATA_DIR = ".flexpack"
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
    env = add_verb(verbs, "env", "print shell commands that point every client at it", _env)
    env.add_argument(
        "--project",
        default=os.environ.get("CLOUDSDK_CORE_PROJECT") or "local-project",
        help="that the clients use (default: CLOUDSDK_CORE_PROJECT, local-project)",
    )
    stop = add_verb(verbs, "stop", "stop it and the jobs that it runs", _stop)
    for verb in (start, env, stop):
        verb.add_argument(
            "--data-dir",
            default=DEFAULT_DATA_DIR,
            metavar="DIR",
            help="where its jobs and objects are kept (default: %(default)s)",
        )


def _start(args: Namespace) -> int:
    """Serve the local Dataflow, in the foreground or detached."""
    data_dir = Path(args.data_dir)
    images = Path(args.images) if args.images else None
    with _explained():
        if args.detach:
            running = daemon.find_running(data_dir)
            if running is not None:
                _refuse_other_options(args)
                _print_ready(running, args.data_dir, is_detached=True, runs_already=True)
                return 0
            info = daemon.start_detached(
                port=args.port,
                storage_port=args.storage_port,
                data_dir=data_dir,
                images=images,
                max_jobs=args.max_jobs,
                timeout_sec=_START_WITH_IMAGES_TIMEOUT_SEC if images else _START_TIMEOUT_SEC,
            )
            _print_ready(info, args.data_dir, is_detached=True)
        else:
            daemon.serve(
                port=args.port,
                storage_port=args.storage_port,
                data_dir=data_dir,
                images=images,
                max_jobs=args.max_jobs,
                on_ready=lambda info: _print_ready(info, args.data_dir, is_detached=False),
            )
    return 0


def _env(args: Namespace) -> int:
    """Print shell commands that point every client at the local Dataflow."""
    with _explained():
        info = daemon.find_running(Path(args.data_dir))
    if info is None:
        raise FlexpackError(
            f"--data-dir {args.data_dir}: no local Dataflow runs on "
            f"{Path(args.data_dir).resolve()}; start one with "
            f"'{_command('start --detach', args.data_dir)}'"
        )
    for name, value in sorted(daemon.environment(info, project=args.project).items()):
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _stop(args: Namespace) -> int:
    """Stop the local Dataflow and the jobs that it runs."""
    with _explained():
        was_running = daemon.stop(Path(args.data_dir))
    if was_running:
        print("Stopped the local Dataflow.")
    else:
        print(
            f"No local Dataflow runs on {Path(args.data_dir).resolve()}; --data-dir names another "
            "folder."
        )
    return 0


def _refuse_other_options(args: Namespace) -> None:
    """Refuse options that the local Dataflow that runs already was not started with."""
    for name in ("images", "max_jobs", "storage_port"):
        if getattr(args, name) is not None:
            raise InputError(
                f"--{name.replace('_', '-')}: the local Dataflow on {args.data_dir} runs already, "
                f"and keeps what it was started with; '{_command('stop', args.data_dir)}' first"
            )


def _print_ready(
    info: daemon.EmulatorInfo, data_dir: str, *, is_detached: bool, runs_already: bool = False
) -> None:
    print(f"The local Dataflow {'runs already' if runs_already else 'is ready'}.")
    print(f"  Dataflow  {info.dataflow_endpoint}")
    print(f"  Storage   {info.storage_endpoint}")
    print(f"  Pub/Sub   {info.pubsub_host or f'none: {info.pubsub_problem}'}")
    print(f"  data      {info.data_dir}")
    print(f'Use it in a shell:  eval "$({_command("env", data_dir)})"')
    print(f"Stop it:            {_command('stop', data_dir) if is_detached else 'Ctrl-C'}")
    sys.stdout.flush()


def _command(verb: str, data_dir: str) -> str:
    """Return a command to copy, with the data directory where it is not the default."""
    words = f"flexpack emulator {verb}"
    return words if data_dir == DEFAULT_DATA_DIR else f"{words} --data-dir {shlex.quote(data_dir)}"


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the emulator's errors into the launcher's: the two share no code."""
    try:
        yield
    except daemon.EmulatorOptionError as error:
        raise InputError(str(error)) from error
    except daemon.EmulatorError as error:
        raise FlexpackError(str(error)) from error
