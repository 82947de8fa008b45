"""Follow a job: wait for it, verify that it matches the request, diagnose a failure."""

from __future__ import annotations

from dataclasses import dataclass

from launcher.errors import ServiceError
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.jobs.dataflow import Dataflow
from launcher.jobs.diagnosis import diagnose_job
from launcher.jobs.errors import JobFailed, JobTimeout
from launcher.jobs.records import Job, JobObserver, Milestone, RowCounts
from launcher.jobs.results import RunResults, find_results
from launcher.jobs.verify import Comparison, verify_job
from launcher.jobs.waiting import wait_for_job

# A launcher has about ten minutes, and workers with a large image and a GPU take up to thirty.
_TIMEOUTS_SEC = {
    Milestone.STAGED: 30 * 60.0,
    Milestone.WORKERS_STARTED: 60 * 60.0,
    Milestone.ENDED: 24 * 60 * 60.0,
}


@dataclass(frozen=True)
class FollowedJob:
    """A job at the point to which it was followed.

    Attributes:
        counts: its rows; None while it runs.
        comparisons: what was requested, compared with what the job reports; None if it was not
            verified.
        results: where its results are; None unless it has ended and recorded them.
    """

    job: Job
    counts: RowCounts | None
    comparisons: tuple[Comparison, ...] | None = None
    results: RunResults | None = None


def follow_job(
    dataflow: Dataflow,
    job_id: str,
    *,
    until: Milestone = Milestone.ENDED,
    timeout_sec: float | None = None,
    requested: FlexTemplateRuntimeEnvironment | None = None,
    observer: JobObserver | None = None,
    poll_interval_sec: float = 5.0,
) -> FollowedJob:
    """Wait until a job reaches a milestone or succeeds; diagnose it if it fails. Blocks.

    Args:
        timeout_sec: how long to wait; default half an hour until it is staged, an hour until
            workers have started, a day until it ends.
        requested: what the launch requested, if known; the job is verified against it
            as soon as it is staged, and cancelled if it differs.

    Raises:
        JobFailed: it failed; carries the diagnosis.
        JobCancelled: it was cancelled.
        JobMismatch: it differs from the requested job.
        JobTimeout: it has not got that far in time, and keeps running.
        ServiceError: Dataflow refused, or was unreachable for too long.
    """
    comparisons: tuple[Comparison, ...] | None = None

    def verify(job: Job) -> None:
        nonlocal comparisons
        if requested is not None:
            comparisons = verify_job(dataflow, job.id, requested)

    try:
        job = wait_for_job(
            dataflow,
            job_id,
            until=until,
            timeout_sec=_TIMEOUTS_SEC[until] if timeout_sec is None else timeout_sec,
            poll_interval_sec=poll_interval_sec,
            observer=observer,
            on_staged=verify,
        )
    except JobFailed as error:
        staging_location = requested.staging_location if requested else None
        diagnosis = diagnose_job(dataflow, error, staging_location=staging_location)
        known = diagnosis.format()
        raise JobFailed(
            f"job {job_id} failed"
            + (f".\n{known}\nIts" if known else "; its")
            + f" messages: flexpack jobs messages {job_id} --importance error "
            f"--project {dataflow.project} --region {dataflow.region}",
            error.job,
            error.messages,
            diagnosis,
            _find_results(dataflow, error.job),
        ) from None
    except JobTimeout as error:
        if requested is None or comparisons is not None:
            raise
        raise JobTimeout(f"{error}. The job was not verified", error.job) from error
    if not job.current_state.is_terminal:
        is_stream = job.type == "JOB_TYPE_STREAMING"
        results = _find_results(dataflow, job) if is_stream else None
        return FollowedJob(job, None, comparisons, results)
    counts = RowCounts.from_metrics(dataflow.metrics(job_id))
    return FollowedJob(job, counts, comparisons, find_results(dataflow, job))


def _find_results(dataflow: Dataflow, job: Job) -> RunResults | None:
    """Return the results of a job; None if there are none, or they cannot be read."""
    try:
        return find_results(dataflow, job)
    except ServiceError:
        return None
