"""``flexpack emulator``: the local Dataflow."""

from __future__ import annotations

import shlex
from argparse import Namespace
from pathlib import Path

from launcher.emulator import daemon
from launcher.errors import FlexpackError


def start(args: Namespace) -> int:
    """Serve the local Dataflow, in the foreground or detached."""
    data_dir = Path(args.data_dir)
    images = Path(args.images) if args.images else None
    if args.detach:
        info = daemon.start_detached(
            port=args.port, storage_port=args.storage_port, data_dir=data_dir, images=images
        )
        _print_ready(info, "flexpack emulator stop")
        return 0
    daemon.serve(
        port=args.port,
        storage_port=args.storage_port,
        data_dir=data_dir,
        images=images,
        on_ready=lambda info: _print_ready(info, "Ctrl-C"),
    )
    return 0


def env(args: Namespace) -> int:
    """Print shell commands that point every client at the local Dataflow."""
    info = daemon.find_running(Path(args.data_dir))
    if info is None:
        raise FlexpackError(
            f"no local Dataflow runs on {args.data_dir}; start one: flexpack emulator start "
            "--detach"
        )
    for name, value in sorted(daemon.environment(info, project=args.project).items()):
        print(f"export {name}={shlex.quote(value)}")
    return 0


def stop(args: Namespace) -> int:
    """Stop the local Dataflow and the jobs that it runs."""
    if daemon.stop(Path(args.data_dir)):
        print("Stopped the local Dataflow.")
    else:
        print(f"No local Dataflow runs on {args.data_dir}.")
    return 0


def _print_ready(info: daemon.EmulatorInfo, stop_with: str) -> None:
    print("The local Dataflow is ready.")
    print(f"  Dataflow  {info.dataflow_endpoint}")
    print(f"  Storage   {info.storage_endpoint}")
    print(f"  data      {info.data_dir}")
    print('Use it in a shell:  eval "$(flexpack emulator env)"')
    print(f"Stop it:            {stop_with}", flush=True)
