"""``flexpack run``."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.commands.check import check_codes, names_spec, refuse_errors
from launcher.commands.connection import find_project, find_region, format_jobs_command
from launcher.commands.environment import environment_values
from launcher.commands.jobs import follow
from launcher.errors import ApiError, CredentialsError, InputError, StorageError
from launcher.finding import Finding
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.google.storage import read_object
from launcher.google.transport import is_google
from launcher.jobs.dataflow import Dataflow
from launcher.jobs.diagnosis import diagnose
from launcher.jobs.errors import JobFailed
from launcher.jobs.records import Job, Milestone
from launcher.jobs.waiting import have_workers_started
from launcher.launch.fallback import Rung, build_ladder
from launcher.launch.request import LaunchConfig, LaunchFlexTemplateRequest, build_launch_request
from launcher.package.spec import parse_spec
from launcher.preflight.spec import check_spec_text
from launcher.preflight.static import Tools, check_launch


@dataclass(frozen=True)
class _Plan:
    """One launch that may be tried: checked, and ready to be sent."""

    config: LaunchConfig
    request: LaunchFlexTemplateRequest
    asked: FlexTemplateRuntimeEnvironment


def run(args: Namespace) -> int:
    """Launch a template and follow its job until it is read back, or as the flags say."""
    rungs = [Rung.parse(text) for text in args.fallback]
    if rungs and args.is_async:
        raise InputError(
            "--fallback: not with --async, which does not see whether the job finds its machines"
        )
    config = LaunchConfig(
        job_name=args.job_name,
        template_file_gcs_location=args.template_file_gcs_location,
        project=find_project(args),
        region=find_region(args),
        parameters=args.parameters,
        launch_timeout_sec=args.launch_timeout_sec,
        right_fitting=args.right_fitting,
        **environment_values(args),
    )
    plans = _plan(build_ladder(config, rungs), args)
    if args.dry_run:
        for plan in plans:
            call = Dataflow(config.project, plan.config.region).dry_run(plan.request)
            print(f"{call.method} {call.url}")
            print(json.dumps(call.body, indent=4, sort_keys=True))
        return 0
    _climb(plans, ["", *args.fallback], args)
    return 0


def _climb(plans: Sequence[_Plan], rungs: Sequence[str], args: Namespace) -> None:
    """Launch; where there is no capacity for any worker, launch the next plan, and so on."""
    for number, plan in enumerate(plans, start=1):
        dataflow = Dataflow(plan.config.project, plan.config.region)
        job: Job | None = None
        try:
            job = dataflow.launch(plan.request)
            _follow(job, plan, dataflow, args)
        except (JobFailed, ApiError) as error:
            want = _find_want(dataflow, job, error) if number < len(plans) else None
            if want is None:
                raise
            print(want)
            print(
                f"Nothing in the template is wrong. Trying ({number + 1}/{len(plans)}): "
                f"{rungs[number]}",
                flush=True,
            )
        else:
            return


def _find_want(dataflow: Dataflow, job: Job | None, error: JobFailed | ApiError) -> str | None:
    """Return the capacity or quota that a launch wanted for; None where it failed otherwise.

    A job whose workers had started is not launched elsewhere: its work would be paid for twice.
    """
    if isinstance(error, JobFailed):
        diagnosis = error.diagnosis
    elif job is None:
        diagnosis = diagnose([str(error)])
    else:  # a question about the job was refused, and the job goes on
        return None
    if diagnosis is None or diagnosis.failure is None or not diagnosis.failure.elsewhere:
        return None
    if job is not None and have_workers_started(dataflow, job.id):
        return None
    return f"{diagnosis.failure.title}: {diagnosis.evidence}"


def _follow(job: Job, plan: _Plan, dataflow: Dataflow, args: Namespace) -> None:
    _print_launched(job, plan.config.job_name, dataflow)
    if args.is_async:
        print("The job was not read back: --async does not look whether it is what was asked for.")
        return
    until = Milestone.ENDED
    if not args.wait:
        until = Milestone.WORKERS_STARTED if args.fallback else Milestone.STAGED
    follow(dataflow, job.id, until=until, timeout_sec=args.timeout_sec, asked=plan.asked)


def _plan(configs: Sequence[LaunchConfig], args: Namespace) -> list[_Plan]:
    """Check every launch that may be tried, before the first of them is.

    Raises:
        InputError: a finding is an ERROR.
    """
    check_codes(args.ignore)
    for config in configs:  # what is wrong in itself is told before anything is read
        build_launch_request(config)
    spec = None
    findings: list[Finding] = []
    if not args.no_check and (text := _read_spec(args.template_file_gcs_location)):
        with names_spec(args.template_file_gcs_location):
            findings += check_spec_text(text)
            spec = parse_spec(text)
    plans = []
    for config in configs:
        request = build_launch_request(config, spec)
        asked = request.launch_parameter.environment
        if spec is not None:
            asked = request.environment_over(spec)
            tools = Tools(python=Path(sys.executable))
            findings += check_launch(request, spec, region=config.region, tools=tools)
        plans.append(_Plan(config, request, asked))
    refuse_errors(list(dict.fromkeys(findings)), args.ignore)
    return plans


def _read_spec(location: str) -> bytes | None:
    """Return the spec's text, or None, with a warning, where the caller may not read it."""
    try:
        return read_object(location)
    except (StorageError, CredentialsError) as error:
        # The service reads the spec with rights of its own; the caller may lack them.
        print(f"flexpack: warning: the launch is not checked: {error}", file=sys.stderr)
        return None


def _print_launched(job: Job, job_name: str, dataflow: Dataflow) -> None:
    print(f"Launched {job_name} in {dataflow.region}.")
    print(f"  job id   {job.id}")
    print(f"  follow   {format_jobs_command('wait', job.id, dataflow)}")
    print(f"  cancel   {format_jobs_command('cancel', job.id, dataflow)}")
    if is_google(dataflow.endpoint):
        print(
            f"  console  https://console.cloud.google.com/dataflow/jobs/{dataflow.region}/{job.id}"
            f"?project={dataflow.project}"
        )
    sys.stdout.flush()
