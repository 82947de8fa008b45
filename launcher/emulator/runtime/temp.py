"""The temporary folder of a job, which is removed when the job ends, as a container's ``/tmp`` is.

Beam leaves files there with every submission, and more if a program fails or is killed. Another job
could mistake leftover files for its own; Beam's MultiProcessShared would.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path

_LOG = logging.getLogger(__name__)

VARIABLE = "TMPDIR"
"""The variable by which the job's processes find it."""


def temp_dir_of(job_id: str) -> Path:
    """Return the path of the folder for a job of this process; it need not exist.

    It is in the machine's temporary folder, because the paths of sockets must be short.
    """
    return Path(tempfile.gettempdir(), f"flexpack-{os.getpid()}-{job_id}")


def remove_temp_dir(folder: Path) -> None:
    """Remove a job's folder if it exists; log what cannot be removed."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        _LOG.debug("%s is gone already", folder)
    except OSError as error:
        _LOG.warning("%s cannot be removed: %s", folder, error)


def remove_left_over(job_id: str) -> None:
    """Remove what a killed emulator left of a job."""
    for folder in Path(tempfile.gettempdir()).glob(f"flexpack-*-{job_id}"):
        remove_temp_dir(folder)
