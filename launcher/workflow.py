"""One launch from its checks to its end: check, launch, fall back, follow, verify, diagnose."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import (
    ApiError,
    CredentialsError,
    FlexpackError,
    InputError,
    StorageError,
)
from launcher.finding import Finding, refuse_errors, refuse_unknown_codes
from launcher.google.storage import TEMPLATE_FLAG, read_object
from launcher.google.transport import find_endpoint, is_google
from launcher.jobs.dataflow import Dataflow
from launcher.jobs.diagnosis import diagnose
from launcher.jobs.errors import JobFailed
from launcher.jobs.following import follow_job
from launcher.jobs.records import Job, JobObserver, Milestone, RowCounts
from launcher.jobs.results import RunResults
from launcher.jobs.verify import Comparison
from launcher.jobs.waiting import have_workers_started
from launcher.launch.fallback import Fallback
from launcher.launch.options import LaunchConfig
from launcher.launch.plan import LaunchPlan, plan_launches
from launcher.package.spec import read_spec
from launcher.preflight.subject import Launch, Subject, Tools
from launcher.preflight.suite import run_checks


class RunObserver(JobObserver):
    """Sees what ``run_template`` does, in its thread; override the methods that you need.

    The events of one job, those of ``JobObserver``, come between ``on_launched`` and
    ``on_followed``.
    """

    def on_findings(self, findings: Sequence[Finding]) -> None:
        """Receive the warnings of the check; an error ends the run."""

    def on_unchecked(self, reason: FlexpackError) -> None:
        """Receive the reason why the launch is not checked: the caller may not read its spec."""

    def on_launched(self, job: Job, plan: LaunchPlan) -> None:
        """Receive the launched job."""

    def on_followed(self) -> None:
        """Called when no more events of this job follow, whether or not it succeeded."""

    def on_fallback(self, shortage: str, plan: LaunchPlan, number: int, total: int) -> None:
        """Receive the shortage that ended a launch, and the plan that is tried next."""


@dataclass(frozen=True)
class RunResult:
    """A launch that went well.

    Attributes:
        job: the job as it was when the run ended.
        plan: the one that was launched: the first, or a fallback.
        counts: the job's rows; None if it was not followed to its end.
        comparisons: what was requested, compared with what the job reports; None if it was not
            verified.
        results: where its results are; None unless it has ended and recorded them.
    """

    job: Job
    plan: LaunchPlan
    counts: RowCounts | None = None
    comparisons: tuple[Comparison, ...] | None = None
    results: RunResults | None = None


def plan_run(
    config: LaunchConfig,
    *,
    fallbacks: Sequence[Fallback] = (),
    check: bool = True,
    ignore: Collection[str] = (),
    template_flag: str = TEMPLATE_FLAG,
    observer: RunObserver | None = None,
) -> tuple[LaunchPlan, ...]:
    """Return the launch and its fallbacks, all checked. Blocks for seconds; sends nothing.

    Args:
        check: False reads no spec and checks only the options themselves.
        ignore: codes of findings that do not count.
        template_flag: where the template was named, for messages about its spec.

    Raises:
        InputError: an option is wrong, or a finding is an ERROR.
        StorageError: Cloud Storage could not be reached.
    """
    observer = observer or RunObserver()
    refuse_unknown_codes(ignore)
    # errors in the options themselves, before anything is read
    plans = plan_launches(config, fallbacks)
    location = config.template_file_gcs_location
    try:
        text = read_object(location, flag=template_flag) if check else None
    except (StorageError, CredentialsError) as error:
        # The service reads the spec with its own permissions, which the caller may lack.
        observer.on_unchecked(error)
        text = None
    if text is None:
        return plans
    spec = read_spec(text, location, flag=template_flag)
    plans = plan_launches(config, fallbacks, spec=spec)
    findings: list[Finding] = []
    is_local = not is_google(find_endpoint())
    for plan in plans:
        project, region = plan.config.project, plan.config.region
        launch = Launch.of(plan.request, spec, project=project, region=region)
        tools = Tools(python=Path(sys.executable))
        subject = Subject(
            tools=tools,
            spec_text=text,
            launch=launch,
            is_on_local_dataflow=is_local,
            asks_storage=True,
            pubsub_emulator=os.environ.get("PUBSUB_EMULATOR_HOST") if is_local else None,
        )
        findings += run_checks(subject)
    observer.on_findings(refuse_errors(dict.fromkeys(findings), ignore))
    return plans


def run_template(
    config: LaunchConfig,
    *,
    fallbacks: Sequence[Fallback] = (),
    until: Milestone | None = Milestone.ENDED,
    check: bool = True,
    ignore: Collection[str] = (),
    timeout_sec: float | None = None,
    template_flag: str = TEMPLATE_FLAG,
    observer: RunObserver | None = None,
    connect: Callable[[str, str], Dataflow] = Dataflow,
) -> RunResult:
    """Check a launch, launch it, verify its job and follow it; fall back if machines are short.

    Blocks until the job has reached ``until``. A launch is never blindly repeated. A fallback is
    tried only if capacity or quota was short and no worker had started.

    Args:
        until: how far the job is followed; None returns as soon as it is launched, unverified. A
            streaming job ends only when somebody drains or cancels it.
        check: False launches unchecked.
        ignore: codes of findings that do not count.
        timeout_sec: how long to follow each job; default half an hour until it is staged, an hour
            until workers have started, a day until it ends.
        template_flag: as for ``plan_run``.
        connect: makes the client for a project and region.

    Raises:
        InputError: an option is wrong, or a finding is an ERROR; nothing was launched.
        JobError: the job failed, differs from the request, or did not get that far in time.
        ServiceError: Dataflow refused, or did not answer.
    """
    if fallbacks and until in (None, Milestone.STAGED):
        raise InputError(
            "--fallback: cannot be combined with --async (until: workers have started, or the "
            "job's end), which does not see whether the job gets its machines"
        )
    plans = plan_run(
        config,
        fallbacks=fallbacks,
        check=check,
        ignore=ignore,
        template_flag=template_flag,
        observer=observer,
    )
    report = observer or RunObserver()
    for number, plan in enumerate(plans, start=1):
        dataflow = connect(plan.config.project, plan.config.region)
        job: Job | None = None
        try:
            job = dataflow.launch(plan.request)
            report.on_launched(job, plan)
            if until is None:
                return RunResult(job, plan)
            try:
                followed = follow_job(
                    dataflow,
                    job.id,
                    until=until,
                    timeout_sec=timeout_sec,
                    requested=plan.requested,
                    observer=observer,
                )
            finally:
                report.on_followed()
        except (JobFailed, ApiError) as error:
            shortage = _find_shortage(dataflow, job, error) if number < len(plans) else None
            if shortage is None:
                raise
            report.on_fallback(shortage, plans[number], number + 1, len(plans))
        else:
            return RunResult(
                followed.job, plan, followed.counts, followed.comparisons, followed.results
            )
    raise AssertionError("the last plan returns or raises")


def _find_shortage(dataflow: Dataflow, job: Job | None, error: JobFailed | ApiError) -> str | None:
    """Return the shortage of capacity or quota that ended a launch; None if it failed otherwise.

    A job whose workers had started is not launched elsewhere, because its work would be paid for
    twice.
    """
    if isinstance(error, JobFailed):
        diagnosis = error.diagnosis
    elif job is None:
        diagnosis = diagnose([str(error)])
    else:  # a query about the job was refused, and the job keeps running
        return None
    if diagnosis is None or diagnosis.failure is None or not diagnosis.failure.elsewhere:
        return None
    if job is not None and have_workers_started(dataflow, job.id):
        return None
    return f"{diagnosis.failure.title}: {diagnosis.evidence}"
