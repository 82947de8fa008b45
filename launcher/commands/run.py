"""``flexpack run``."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from launcher.commands.connection import find_project, find_region, format_jobs_command
from launcher.commands.environment import environment_values
from launcher.commands.jobs import follow
from launcher.dataflow import Dataflow
from launcher.errors import CredentialsError, InputError, StorageError
from launcher.gcs import download_spec
from launcher.jobs import Job
from launcher.preflight.finding import format_findings, select_errors
from launcher.preflight.parameters import check_parameters
from launcher.request import LaunchConfig, LaunchFlexTemplateRequest, build_launch_request
from launcher.transport import DEFAULT_ENDPOINT


def run(args: Namespace) -> int:
    """Launch a template, and with ``--wait`` follow its job to the end."""
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
    request = build_launch_request(config)
    dataflow = Dataflow(config.project, config.region)
    if args.dry_run:
        call = dataflow.dry_run(request)
        print(f"{call.method} {call.url}")
        print(json.dumps(call.body, indent=4, sort_keys=True))
        return 0
    _check_against_spec(request)
    job = dataflow.launch(request)
    _print_launched(job, config.job_name, dataflow)
    if args.wait:
        return follow(dataflow, job.id, timeout_sec=args.timeout_sec)
    return 0


def _check_against_spec(request: LaunchFlexTemplateRequest) -> None:
    """Refuse parameters that the service or the pipeline would refuse."""
    parameter = request.launch_parameter
    try:
        spec = download_spec(parameter.container_spec_gcs_path)
    except (StorageError, CredentialsError) as error:
        # The service reads the spec with rights of its own; the caller may lack them.
        print(f"flexpack: warning: the parameters are not checked: {error}", file=sys.stderr)
        return
    if spec.metadata is None:
        return
    findings = check_parameters(spec.metadata, parameter.parameters, parameter.environment)
    errors = select_errors(findings)
    if errors:
        raise InputError(
            f"{parameter.container_spec_gcs_path} does not take these parameters; nothing was "
            f"launched.\n{format_findings(errors)}"
        )
    if findings:
        print(f"flexpack: warning: {format_findings(findings)}", file=sys.stderr)


def _print_launched(job: Job, job_name: str, dataflow: Dataflow) -> None:
    print(f"Launched {job_name} in {dataflow.region}.")
    print(f"  job id   {job.id}")
    print(f"  follow   {format_jobs_command('wait', job.id, dataflow)}")
    print(f"  cancel   {format_jobs_command('cancel', job.id, dataflow)}")
    if dataflow.endpoint == DEFAULT_ENDPOINT:
        print(
            f"  console  https://console.cloud.google.com/dataflow/jobs/{dataflow.region}/{job.id}"
            f"?project={dataflow.project}"
        )
    sys.stdout.flush()
