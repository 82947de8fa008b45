"""``flexpack emulator``: the local Dataflow."""

from __future__ import annotations

import os
import shlex
import sys
import time
from argparse import Namespace
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launcher.commands.parser import CommandParser, Number, add_verb, add_verbs, set_example
from launcher.emulator import daemon
from launcher.errors import FlexpackError, InputError, NotFound
from launcher.extras import find_missing, format_install, require_extras

_DATA_DIR = next(option for option in daemon.OPTIONS if option.name == "data_dir")
_PORT = next(option for option in daemon.OPTIONS if option.name == "port")
DEFAULT_DATA_DIR = str(_DATA_DIR.default)
_START_TIMEOUT_SEC = 30.0
_FOLLOW_SEC = 0.5
# An image named in images.toml may have to be unpacked first.
_START_WITH_IMAGES_TIMEOUT_SEC = 600.0


def add_flags(parser: CommandParser) -> None:
    """Add the subcommands and their flags."""
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
    register = add_verb(
        verbs, "register", "let local/NAME stand for a project's folder and its Python", _register
    )
    set_example(register, "flexpack emulator register churn --code ~/churn")
    register.add_argument("name", metavar="NAME", help="name in the image local/NAME")
    register.add_argument(
        "--code",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the folder that holds the project's packages (default: this one)",
    )
    register.add_argument(
        "--python",
        type=Path,
        default=Path(sys.executable),
        metavar="PATH",
        help="the project's interpreter, with flexpack installed (default: %(default)s)",
    )
    status = add_verb(verbs, "status", "show the local Dataflow's addresses and projects", _status)
    logs = add_verb(verbs, "logs", "show its log", _logs)
    logs.add_argument(
        "--lines", type=Number(1), default=50, metavar="N", help="the last ones (default: 50)"
    )
    logs.add_argument(
        "--follow", action="store_true", help="print new lines as they are logged, until Ctrl-C"
    )
    prune = add_verb(verbs, "prune", "delete finished jobs with their staged files", _prune)
    prune.add_argument(
        "--keep-jobs",
        type=Number(0),
        default=0,
        metavar="N",
        help="keep the last N that ended (default: 0)",
    )
    stop = add_verb(verbs, "stop", "stop the local Dataflow and the jobs that it runs", _stop)
    for verb in (start, env, register, status, logs, prune, stop):
        verb.add_argument(
            _DATA_DIR.flag,
            type=Path,
            metavar=_DATA_DIR.metavar,
            help=f"{_DATA_DIR.help % {'default': _DATA_DIR.default}}"
            + ("" if verb is stop else ", or of the one on the port"),
        )


def _add_option(verb: CommandParser, option: daemon.Option) -> None:
    verb.add_argument(
        option.flag,
        help=option.help,
        **(
            {"action": "store_true"}
            if option.is_switch
            else {
                "type": Path if option.least is None else Number(option.least),
                "default": option.default,
                "metavar": option.metavar,
            }
        ),
    )


def _start(args: Namespace) -> int:
    """Serve the local Dataflow, in the foreground or detached."""
    require_extras("emulator start", "emulator")
    with _explained():
        running = find_local(args.data_dir, args.port) if args.detach else None
        if running is not None:
            _refuse_other_options(args, running)
            _print_ready(running, args.data_dir, is_detached=True, runs_already=True)
            return 0
        args.data_dir = args.data_dir or _DATA_DIR.default
        options = daemon.EmulatorOptions(
            **{option.name: getattr(args, option.name) for option in daemon.OPTIONS}
        )
        if args.detach:
            timeout_sec = _START_WITH_IMAGES_TIMEOUT_SEC if options.images else _START_TIMEOUT_SEC
            info = daemon.start_detached(options, timeout_sec=timeout_sec, on_wait=_print_wait)
            _print_ready(info, args.data_dir, is_detached=True)
        else:
            daemon.serve(
                options,
                on_ready=lambda info: _print_ready(info, args.data_dir, is_detached=False),
                on_wait=_print_wait,
            )
    return 0


def _print_wait(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _env(args: Namespace) -> int:
    """Print shell commands that point every client at the local Dataflow."""
    info = _find_or_fail(args.data_dir)
    for name, value in sorted(daemon.shell_variables(info, project=args.project).items()):
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _register(args: Namespace) -> int:
    """Let an image's name stand for a project on the running local Dataflow."""
    info = _find_or_fail(args.data_dir)
    with _explained():
        daemon.register_project(info, args.name, args.code, args.python)
    print(f"local/{args.name} is {args.code.resolve()} on the local Dataflow of {info.data_dir}.")
    return 0


def _status(args: Namespace) -> int:
    """Show where the local Dataflow listens, and what stands for each image."""
    info = _find_or_fail(args.data_dir)
    with _explained():
        projects = daemon.list_projects(info)
    _print_places(info)
    print("  images    local/flexpack  the environment in which it was started")
    for project in projects:
        missing = f" (missing: {project['missing']})" if project["missing"] else ""
        print(f"            local/{project['name']}  {project['folder']}{missing}")
    return 0


def _prune(args: Namespace) -> int:
    """Delete finished jobs with their messages and files."""
    with _explained():
        info = find_local(args.data_dir)
        folder = info.data_dir if info else args.data_dir or _DATA_DIR.default
        pruned = daemon.prune(folder, keep_jobs=args.keep_jobs)
    print(f"Deleted {pruned['jobs']:,} finished jobs and {pruned['objects']:,} staged objects.")
    return 0


def _logs(args: Namespace) -> int:
    """Show the end of the local Dataflow's log, whether or not it is running."""
    with _explained():
        info = find_local(args.data_dir)
    path = daemon.log_file(info.data_dir if info else args.data_dir or _DATA_DIR.default)
    try:
        log = path.open(errors="replace")
    except FileNotFoundError as error:
        raise NotFound(
            f"{path}: there is no log, because the local Dataflow has not run there; use "
            "--data-dir to name another folder"
        ) from error
    except OSError as error:
        raise FlexpackError(f"{path}: cannot be read: {error.strerror}") from error
    with log:
        for line in deque(log, maxlen=args.lines):
            print(line, end="")
        while args.follow:
            for line in log:
                print(line, end="", flush=True)
            time.sleep(_FOLLOW_SEC)
    return 0


def _stop(args: Namespace) -> int:
    """Stop the local Dataflow and the jobs that it runs."""
    data_dir = args.data_dir or _DATA_DIR.default
    with _explained():
        was_running = daemon.stop(data_dir)
        other = None if was_running or args.data_dir else find_local(None)
    if was_running:
        print("Stopped the local Dataflow.")
    elif other is not None:
        print(
            f"No local Dataflow runs on {data_dir.resolve()}. The one on port "
            f"{other.dataflow_port} was started elsewhere; to stop it: "
            f"{_command('stop', other.data_dir)}"
        )
    else:
        folder = data_dir.resolve()
        print(f"No local Dataflow runs on {folder}; use --data-dir to name another folder.")
    return 0


def find_local(data_dir: Path | None, port: int = _PORT.default) -> daemon.EmulatorInfo | None:
    """Return the local Dataflow of a folder, else of the default folder or the port."""
    if data_dir is not None:
        return daemon.find_running(data_dir)
    return daemon.find_running(_DATA_DIR.default) or (daemon.find_on_port(port) if port else None)


def _find_or_fail(data_dir: Path | None) -> daemon.EmulatorInfo:
    with _explained():
        info = find_local(data_dir)
    if info is None:
        raise FlexpackError(explain_none_runs(data_dir))
    return info


def explain_none_runs(data_dir: Path | None) -> str:
    """Return what is wrong if no local Dataflow runs on a folder; None: --data-dir is not given."""
    flag = f"--data-dir {data_dir}: " if data_dir else ""
    folder = (data_dir or _DATA_DIR.default).resolve()
    port = "" if data_dir else f" or port {_PORT.default}"
    start = _command("start --detach", data_dir)
    return f"{flag}no local Dataflow runs on {folder}{port}; start one with '{start}'"


def _refuse_other_options(args: Namespace, running: daemon.EmulatorInfo) -> None:
    """Refuse options that the running local Dataflow was not started with."""
    for option in daemon.OPTIONS:
        if option.default is None and getattr(args, option.name) is not None:
            raise InputError(
                f"{option.flag}: the local Dataflow on {running.data_dir} runs already, and keeps "
                f"its options; run '{_command('stop', running.data_dir)}' first"
            )


def _print_ready(
    info: daemon.EmulatorInfo,
    data_dir: Path | None,
    *,
    is_detached: bool,
    runs_already: bool = False,
) -> None:
    print(f"The local Dataflow {'runs already' if runs_already else 'is ready'}.")
    _print_places(info)
    if find_missing("template"):
        print(f"For jobs of local/flexpack:  {format_install('template')}")
    print(f'Use it in a shell:  eval "$({_command("env", data_dir)})"')
    is_elsewhere = data_dir is None and info.data_dir != _DATA_DIR.default.resolve()
    stop = _command("stop", info.data_dir if is_elsewhere else data_dir)
    print(f"Stop it:            {stop if is_detached else 'Ctrl-C'}")
    sys.stdout.flush()


def _print_places(info: daemon.EmulatorInfo) -> None:
    print(f"  Dataflow  {info.dataflow_endpoint}")
    print(f"  Storage   {info.storage_endpoint}")
    print(f"  Pub/Sub   {info.pubsub_host or f'none: {info.pubsub_problem}'}")
    if info.pubsub_host and info.pubsub_problem:
        print(f"            {info.pubsub_problem}")
    print(f"  console   {info.console_url or 'none: started with --no-console'}")
    print(f"  data      {info.data_dir}")


def _command(verb: str, data_dir: Path | None) -> str:
    """Return a command to copy, with the data directory if it is not the default."""
    words = f"flexpack emulator {verb}"
    if data_dir in (None, _DATA_DIR.default):
        return words
    return f"{words} --data-dir {shlex.quote(str(data_dir))}"


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the emulator's errors into the launcher's, because the two share no code."""
    try:
        yield
    except daemon.EmulatorOptionError as error:
        raise InputError(str(error)) from error
    except daemon.EmulatorError as error:
        raise FlexpackError(str(error)) from error
