"""A local Dataflow for measurements, and launches of the batch template on it from this process."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path

from launcher import LaunchConfig, run_template
from launcher.cli import main as flexpack
from launcher.emulator import daemon
from tests.support import PROJECT, open_storage

_BUCKET = "flexpack-bench"
_SPEC = f"gs://{_BUCKET}/batch.json"


class LocalDataflow:
    """A local Dataflow with its own data folder, used by this process and its children.

    Args:
        warm: whether its jobs are forked from a process that has imported what they need.
    """

    def __init__(self, folder: Path, *, warm: bool = True) -> None:
        options = daemon.EmulatorOptions(port=0, storage_port=0, data_dir=folder, no_warm=not warm)
        self.folder = folder
        self.info = daemon.start_detached(options)
        os.environ.update(daemon.shell_variables(self.info, project=PROJECT))
        self.bucket = open_storage(self.info).create_bucket(_BUCKET)
        self._numbers = itertools.count(1)
        with redirect_stdout(sys.stderr):
            status = flexpack(["build", _SPEC, "--template=batch", "--image=local/flexpack"])
        if status:
            raise RuntimeError(f"flexpack build {_SPEC} ended with status {status}")

    def predict(
        self, parameters: Mapping[str, str], *, workers: int, timeout_sec: float = 1800
    ) -> None:
        """Launch the template, and wait until the job is done.

        Raises:
            JobFailed: it did not succeed.
        """
        config = LaunchConfig(
            job_name=f"bench-{next(self._numbers)}",
            project=PROJECT,
            region="us-central1",
            template_file_gcs_location=_SPEC,
            staging_location=f"gs://{_BUCKET}/staging",
            num_workers=workers,
            parameters=parameters,
        )
        run_template(config, timeout_sec=timeout_sec)

    def stop(self) -> None:
        """End it, with all of its processes."""
        daemon.stop(self.folder)
