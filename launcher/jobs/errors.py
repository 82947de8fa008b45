# ruff: noqa: N818  the names say what happened, like subprocess.TimeoutExpired
"""The exceptions of a job that did not succeed; ``launcher.errors`` draws the whole tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from launcher.errors import FlexpackError
from launcher.jobs.failures import Diagnosis
from launcher.jobs.records import Job, JobMessage

if TYPE_CHECKING:
    from launcher.jobs.results import RunResults


class JobError(FlexpackError):
    """A job did not succeed."""

    def __init__(self, message: str, job: Job) -> None:
        self.job = job
        super().__init__(message)


class JobFailed(JobError):
    """A job failed.

    Attributes:
        messages: its last messages of importance ERROR, oldest first.
        diagnosis: the cause, if it was diagnosed (``launcher.jobs.diagnosis``).
        results: where its results are, if it wrote any before it failed.
    """

    def __init__(
        self,
        message: str,
        job: Job,
        messages: Sequence[JobMessage],
        diagnosis: Diagnosis | None = None,
        results: RunResults | None = None,
    ) -> None:
        self.messages = tuple(messages)
        self.diagnosis = diagnosis
        self.results = results
        super().__init__(message, job)


class JobCancelled(JobError):
    """A job was cancelled."""


class JobMismatch(JobError):
    """A job differs from the request; the message says whether it was cancelled."""


class JobTimeout(JobError):
    """A job is still running when the waiting ends, and keeps running."""
