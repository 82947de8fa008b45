"""Finds the job that the command line names by id or name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from launcher.errors import ApiError, NotFound

if TYPE_CHECKING:
    from launcher.jobs.dataflow import Dataflow

# Of jobs; an id begins with a date.
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def find_job_id(dataflow: Dataflow, job: str, *, active: bool = False) -> str:
    """Return the id of a job given by id or name. Blocks for one or two requests.

    A name stands for the active job of that name (there is at most one), otherwise for the last
    one.

    Args:
        active: ignore jobs that have ended.

    Raises:
        NotFound: no job has that name.
    """
    if not _NAME.fullmatch(job):
        return job
    running = dataflow.list(status="ACTIVE", name=job)
    found = [each for each in running if not each.current_state.is_terminal]
    if not found and not active:
        found = [*dataflow.list(name=job, limit=1)]
    if found:
        return found[0].id
    raise _not_found(job, dataflow, "active job of that name" if active else "such job")


@contextmanager
def explain_missing(job: str, dataflow: Dataflow) -> Iterator[None]:
    """Say how to find the job if no job has that id."""
    try:
        yield
    except ApiError as error:
        if error.status_code != HTTPStatus.NOT_FOUND:
            raise
        raise _not_found(job, dataflow, "such job") from error


def _not_found(job: str, dataflow: Dataflow, what: str) -> NotFound:
    place = f"--project {dataflow.project} --region {dataflow.region}"
    return NotFound(
        f"JOB {job!r}: there is no {what} of {dataflow.project} in {dataflow.region}; "
        f"'flexpack jobs list {place}' shows the ids and names, or name another --region"
    )
