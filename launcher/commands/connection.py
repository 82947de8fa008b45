"""The project and region of a command: from its flags, else from the shell's variables."""

from __future__ import annotations

import os
import re
import shlex
from argparse import Namespace
from pathlib import Path

from launcher.errors import InputError, NotFound
from launcher.google.transport import DEFAULT_ENDPOINT, find_endpoint

# An id may be scoped by a domain, and the service also accepts the project number.
_PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z0-9-]+")
_REGION = re.compile(r"[a-z0-9-]+")
_ZONE = re.compile(r"([a-z]+-[a-z]+[0-9]+)-[a-z]")


def find_project(args: Namespace) -> str:
    """Return ``--project``, or the project that the environment names.

    Raises:
        InputError: neither names one, or it is not a project's id.
    """
    project = args.project or _default_project()
    if not project:
        raise NotFound(
            "--project: missing; give the id of the Google Cloud project, or set "
            "CLOUDSDK_CORE_PROJECT"
        )
    if not _PROJECT.fullmatch(project):
        raise InputError(
            f"--project {project!r}: not a project's id, which has lower-case letters, digits and "
            "'-'; 'gcloud projects list' shows yours"
        )
    return project


def find_region(args: Namespace) -> str:
    """Return ``--region``, or the region that the environment names, or us-central1 as gcloud does.

    Raises:
        InputError: it is a zone, or not a region's name.
    """
    region: str = args.region or _default_region()
    if zone := _ZONE.fullmatch(region):
        raise InputError(
            f"--region {region!r}: a zone; give its region, {zone[1]}, and if it matters "
            f"--worker-zone {region}"
        )
    if not _REGION.fullmatch(region):
        raise InputError(f"--region {region!r}: not a region's name, for example us-central1")
    return region


def format_jobs_command(verb: str, job_id: str, project: str, region: str) -> str:
    """Return a ``flexpack jobs`` command to copy, with the flags that are not the defaults."""
    words = ["flexpack", "jobs", verb, job_id]
    if project != _default_project():
        words += ["--project", project]
    if region != _default_region():
        words += ["--region", region]
    return shlex.join(words)


def format_local_hint() -> str:
    """Return how to point this shell at the local Dataflow of this folder.

    Empty if it already uses it, or if there is none for this folder or on the default
    port.
    """
    if find_endpoint() != DEFAULT_ENDPOINT or os.environ.get("STORAGE_EMULATOR_HOST"):
        return ""
    from launcher.commands.emulator import DEFAULT_DATA_DIR, find_local
    from launcher.emulator.daemon import EmulatorError

    env = 'eval "$(flexpack emulator env)"'
    try:
        running = find_local(None)
    except EmulatorError as error:
        return f"This shell does not use the local Dataflow of this folder: {error}"
    if running:
        return f"This shell does not use the local Dataflow that runs here: {env}"
    if Path(DEFAULT_DATA_DIR).is_dir():
        return (
            "This shell does not use the local Dataflow of this folder, which is stopped: "
            f"flexpack emulator start --detach && {env}"
        )
    return ""


def _default_project() -> str | None:
    return os.environ.get("CLOUDSDK_CORE_PROJECT") or os.environ.get("GOOGLE_CLOUD_PROJECT")


def _default_region() -> str:
    return os.environ.get("CLOUDSDK_DATAFLOW_REGION") or "us-central1"
