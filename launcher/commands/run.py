"""``flexpack run``."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from launcher.commands.check import check_codes, refuse_errors
from launcher.commands.connection import find_project, find_region, format_jobs_command
from launcher.commands.environment import environment_values
from launcher.commands.jobs import follow
from launcher.dataflow import Dataflow
from launcher.environment import overlay
from launcher.errors import CredentialsError, StorageError
from launcher.gcs import read_object
from launcher.jobs import Job
from launcher.preflight.spec import check_spec_text
from launcher.preflight.static import Tools, check_launch
from launcher.request import LaunchConfig, build_launch_request
from launcher.spec import ContainerSpec, parse_spec
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
    spec = None if args.no_check else _check(config, args)
    request = build_launch_request(config, spec)
    dataflow = Dataflow(config.project, config.region)
    if args.dry_run:
        call = dataflow.dry_run(request)
        print(f"{call.method} {call.url}")
        print(json.dumps(call.body, indent=4, sort_keys=True))
        return 0
    job = dataflow.launch(request)
    _print_launched(job, config.job_name, dataflow)
    if args.wait:
        environment = request.launch_parameter.environment
        asked = overlay(spec.default_environment, environment) if spec else environment
        return follow(dataflow, job.id, timeout_sec=args.timeout_sec, asked=asked)
    return 0


def _check(config: LaunchConfig, args: Namespace) -> ContainerSpec | None:
    """Check the launch against its spec, and return the spec; None where it cannot be read.

    Raises:
        InputError: a finding is an ERROR.
    """
    check_codes(args.ignore)
    build_launch_request(config)  # what is wrong in itself is told before anything is read
    location = config.template_file_gcs_location
    try:
        text = read_object(location)
    except (StorageError, CredentialsError) as error:
        # The service reads the spec with rights of its own; the caller may lack them.
        print(f"flexpack: warning: the launch is not checked: {error}", file=sys.stderr)
        return None
    findings = check_spec_text(text)
    spec = parse_spec(text)
    findings += check_launch(
        build_launch_request(config, spec),
        spec,
        region=config.region,
        tools=Tools(python=Path(sys.executable)),
    )
    refuse_errors(findings, args.ignore)
    return spec


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
