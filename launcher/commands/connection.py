"""Which project and region a command means."""

from __future__ import annotations

import os
import shlex
from argparse import Namespace

from launcher.dataflow import Dataflow
from launcher.errors import InputError


def find_project(args: Namespace) -> str:
    """Return ``--project``, or what the environment says.

    Raises:
        InputError: neither does.
    """
    project = args.project or _default_project()
    if not project:
        raise InputError(
            "--project: missing; give the id of the Google Cloud project, or set "
            "CLOUDSDK_CORE_PROJECT"
        )
    return project


def find_region(args: Namespace) -> str:
    """Return ``--region``, or what the environment says, or us-central1 as gcloud does."""
    return args.region or _default_region()


def open_dataflow(args: Namespace) -> Dataflow:
    """Return the client for the project and region that a command means."""
    return Dataflow(find_project(args), find_region(args))


def format_jobs_command(verb: str, job_id: str, dataflow: Dataflow) -> str:
    """Return a ``flexpack jobs`` command to copy, with the flags that are not the defaults."""
    words = ["flexpack", "jobs", verb, job_id]
    if dataflow.project != _default_project():
        words += ["--project", dataflow.project]
    if dataflow.region != _default_region():
        words += ["--region", dataflow.region]
    return shlex.join(words)


def _default_project() -> str | None:
    return os.environ.get("CLOUDSDK_CORE_PROJECT") or os.environ.get("GOOGLE_CLOUD_PROJECT")


def _default_region() -> str:
    return os.environ.get("CLOUDSDK_DATAFLOW_REGION") or "us-central1"
