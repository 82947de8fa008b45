"""The steps that ``make demo`` and ``make demo-streaming`` share."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from launcher import FlexpackError, cli
from launcher.commands.emulator import DEFAULT_DATA_DIR
from launcher.emulator import daemon

BUCKET = "flexpack-demo"
PROJECT = "local-project"
REGION = "us-central1"

_DATA_DIR = Path(DEFAULT_DATA_DIR)
_GARMENTS = _DATA_DIR / "demo"
IMAGES = _GARMENTS / "garments-images-idx3-ubyte.gz"
LABELS = _GARMENTS / "garments-labels-idx1-ubyte.gz"
WEIGHTS = _GARMENTS / "garments.pth"


class CommandFailedError(FlexpackError):
    """A command that the demo runs has failed, and has printed the reason itself."""

    def __init__(self, status: int) -> None:
        super().__init__(f"a command exited with status {status}")
        self.exit_status = status


def run_flexpack(*command: str) -> None:
    """Show a ``flexpack`` command and run it; raise CommandFailedError if it fails."""
    print(f"\n+ flexpack {shlex.join(command)}", flush=True)
    if status := cli.main(command):
        raise CommandFailedError(status)


def run_python(module: str, *arguments: str) -> None:
    """Run a module in a separate process; raise CommandFailedError if it fails."""
    command = [sys.executable, "-m", module, *arguments]
    if status := subprocess.run(command, check=False, timeout=600).returncode:
        raise CommandFailedError(status)


def draw_garments() -> None:
    """Draw IMAGES and LABELS and train WEIGHTS, unless that has been done."""
    if not WEIGHTS.exists():  # written last
        print("drawing garments and training the network on them, once", flush=True)
        _DATA_DIR.mkdir(mode=0o700, exist_ok=True)  # as the local Dataflow requires of its folder
        run_python("template.demo.train", str(_GARMENTS))


def start_emulator(port: str) -> daemon.EmulatorInfo:
    """Start the local Dataflow unless one runs, and point this process at it."""
    run_flexpack("emulator", "start", "--detach", f"--port={port}")
    info = daemon.find_running(_DATA_DIR) or daemon.find_on_port(int(port))
    assert info is not None, "emulator start has just waited for it"
    if port not in ("0", str(info.dataflow_port)):
        print(
            f"PORT={port} has no effect: the local Dataflow runs already, on port "
            f"{info.dataflow_port}; 'flexpack emulator stop' first to move it",
            flush=True,
        )
    os.environ.update(daemon.shell_variables(info, project=PROJECT))
    return info


def stage(path: str) -> str:
    """Upload a local file to the demo's bucket, created if missing; return its address there.

    A ``gs://`` address and the empty string are returned as they are.
    """
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client(project=PROJECT, credentials=AnonymousCredentials())
    bucket = client.lookup_bucket(BUCKET) or client.create_bucket(BUCKET)
    if not path or path.startswith("gs://"):
        return path
    blob = bucket.blob(f"data/{Path(path).name}")
    blob.upload_from_filename(path)
    return f"gs://{BUCKET}/{blob.name}"
