"""``flexpack check``."""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from launcher.commands.connection import find_project, find_region
from launcher.commands.options import (
    add_environment_options,
    add_ignore,
    add_launch_options,
    add_place,
    read_options,
)
from launcher.commands.output import print_json, print_table
from launcher.commands.parser import CommandParser, Items, KeyValues, Number, set_example
from launcher.errors import InputError, SpecError
from launcher.finding import (
    CODES,
    Finding,
    Severity,
    format_findings,
    refuse_unknown_codes,
    select_errors,
    without_ignored,
)
from launcher.google.transport import find_endpoint, is_google
from launcher.kit import find_kit
from launcher.launch.options import LaunchConfig, list_options
from launcher.launch.request import build_launch_request
from launcher.package.declaration import is_own_title
from launcher.package.spec import ContainerSpec, read_spec
from launcher.package.spec_storage import read_spec_text
from launcher.preflight.image_rules import Role
from launcher.preflight.subject import (
    Launch,
    ProjectFiles,
    ProjectOptions,
    Subject,
    Tools,
    read_project,
)


def add_flags(parser: CommandParser) -> None:
    """Add the command's flags and its handler."""
    parser.set_defaults(run=_run)
    set_example(
        parser,
        "flexpack check --rehearse \\\n"
        "    --template-file-gcs-location gs://my-bucket/templates/batch.json \\\n"
        "    --parameters 'input=gs://my-bucket/in/*.csv' \\\n"
        "    --parameters output=gs://my-bucket/out/churn \\\n"
        "    --parameters model_path=gs://my-bucket/churn.pth",
    )
    parser.add_argument(
        "--template-file-gcs-location",
        metavar="PATH",
        help="check a launch of this container spec too, gs://... or a local file",
    )
    parser.add_argument(
        "--spec-only", action="store_true", help="check only the container spec, not a launch of it"
    )
    parser.add_argument("--job-name", default="checked", help=argparse.SUPPRESS)
    add_launch_options(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    add_ignore(parser)
    parser.add_argument("--codes", action="store_true", help="list the codes and what they mean")
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="launch on a local Dataflow with the network off, and predict a sample of the input",
    )
    parser.add_argument(
        "--sample",
        action=Items,
        default=(),
        metavar="FILE",
        help="messages for a rehearsed streaming job: a file with one JSON message per line, or "
        "an image; repeat the flag for each",
    )
    parser.add_argument(
        "--live", action="store_true", help="query the project with your credentials, read-only"
    )
    parser.add_argument(
        "--rehearse-timeout-sec",
        type=Number(1, float),
        default=120.0,
        metavar="SECONDS",
        help="how long the rehearsed launcher may take (default: 120)",
    )
    files = parser.add_argument_group(
        "files of the template; those that you do not name are searched for"
    )
    files.add_argument("--project-root", default=".", metavar="DIR", help="default: here")
    files.add_argument("--dockerfile", metavar="FILE")
    files.add_argument("--target", metavar="STAGE", help="of the Dockerfile (default: the last)")
    files.add_argument(
        "--build-arg",
        action=KeyValues,
        default={},
        metavar="NAME=VALUE",
        help="of the Dockerfile; repeat the flag for each",
    )
    files.add_argument(
        "--role",
        choices=tuple(Role),
        help="what the image is for: the launcher, the workers, both, or a base for 'gcloud "
        "dataflow flex-template build' (default: what it holds)",
    )
    files.add_argument("--lock", action="append", metavar="FILE", help="requirements; repeatable")
    files.add_argument(
        "--code",
        action=Items,
        default=(),
        metavar="DIR",
        help="a project whose code goes into the image: parse its modules, compare its "
        "requirements with its lock, and its lock with the image's; repeatable",
    )
    files.add_argument(
        "--flavour", help="torch's build, for --code: cu130 (default), cu126, cpu, or no-torch"
    )
    files.add_argument("--entry-file", metavar="FILE", help="the program that the launcher runs")
    files.add_argument("--metadata-file", action="append", metavar="FILE", help="repeatable")
    files.add_argument(
        "--checkpoint", metavar="FILE", help="the weights; default: the parameter model_path"
    )
    files.add_argument(
        "--python",
        default=sys.executable,
        metavar="FILE",
        help="interpreter with the image's packages (default: this one)",
    )
    add_place(parser)
    add_environment_options(parser, "the job's environment; the spec sets what you omit")


def _run(args: Namespace) -> int:
    if args.codes:
        rows = [(code.name, code.depth, code.meaning) for code in CODES]
        print_table(("CODE", "DEPTH", "MEANING"), rows)
        return 0
    refuse_unknown_codes(args.ignore)
    if args.spec_only and not args.template_file_gcs_location:
        raise InputError("--spec-only: needs --template-file-gcs-location, the container spec")
    if args.spec_only and (flag := next(_find_launch_flags(args), None)):
        raise InputError(f"{flag}: describes a launch, and --spec-only checks no launch")
    if args.sample and not args.rehearse:
        raise InputError("--sample: needs --rehearse, which publishes it")
    location = args.template_file_gcs_location
    options = _read_project_options(args)
    project = read_project(options)
    if not (project.files.all or location or args.code):
        project = read_project(replace(options, root=find_kit()))
    files = project.files
    subject = Subject(
        tools=Tools(python=Path(args.python), root=Path(args.project_root)),
        project=project,
        checkpoint=_find_checkpoint(args),
        model_class=args.parameters.get("model_class"),
        is_on_local_dataflow=not is_google(find_endpoint()),
    )
    looked_at = [str(path) for path in (*files.all, subject.checkpoint, location) if path]
    looked_at += args.code
    if not looked_at:
        raise InputError(
            f"--project-root {args.project_root}: nothing to check there; name the template's "
            "spec with --template-file-gcs-location, or files with --dockerfile, --entry-file"
        )
    findings = _check_code(args)
    if location:
        findings += _check_launch(args, subject, files)
    elif flag := next(_find_launch_flags(args), None):
        raise InputError(f"{flag}: needs --template-file-gcs-location, the template to launch")
    else:
        findings += _check(subject)
    return _report(without_ignored(findings, args.ignore), looked_at, args.format)


def _check_code(args: Namespace) -> list[Finding]:
    if not args.code:
        return []
    from launcher.image.flavours import default_flavour, find_flavour
    from launcher.image.project_locks import check_project_locks
    from launcher.image.projects import find_code, read_projects
    from launcher.preflight.entry_file import parse_module

    kit = find_kit(Path(args.project_root))
    projects = read_projects([Path(folder) for folder in args.code])
    flavour = find_flavour(args.flavour or default_flavour())
    modules = (
        parse_module(path, str(path))
        for project in projects
        for _, path in find_code(project)
        if path.suffix == ".py"
    )
    broken = [found for found in modules if isinstance(found, Finding)]
    return [*check_project_locks(kit, projects, flavour), *broken]


def _check(subject: Subject, *, live: bool = False) -> Iterator[Finding]:
    # Loaded only here, so that --help answers at once.
    from launcher.preflight.live.cloud import Cloud
    from launcher.preflight.suite import run_checks

    return run_checks(subject, Cloud() if live else None)


def _check_launch(args: Namespace, subject: Subject, files: ProjectFiles) -> list[Finding]:
    if args.live:
        _refuse_local_live()
    text = read_spec_text(args.template_file_gcs_location)
    without_launch = replace(subject, spec_text=text)
    try:
        spec = read_spec(text, args.template_file_gcs_location)
    except SpecError as problem:
        # A spec with values of wrong types cannot be launched; report all of them.
        findings = _check_broken_spec(without_launch, problem)
        if select_errors(findings):
            return findings
        raise
    if args.spec_only:
        return list(_check(without_launch))
    config = _read_config(args)
    launch = Launch.of(
        build_launch_request(config, spec), spec, project=config.project, region=config.region
    )
    # A caller who can read the spec in Cloud Storage can also look up the inputs there; --live does
    # more.
    asks = args.template_file_gcs_location.startswith("gs://") and not args.live
    subject = replace(subject, spec_text=text, launch=launch, asks_storage=asks)
    findings = list(_check(subject, live=args.live))
    if args.rehearse:
        findings += _rehearse(args, config, spec, files, subject.tools)
    return findings


def _check_broken_spec(subject: Subject, problem: SpecError) -> list[Finding]:
    try:
        return list(_check(subject))
    except SpecError:  # it is not JSON, which was reported already
        raise problem from None


def _rehearse(
    args: Namespace, config: LaunchConfig, spec: ContainerSpec, files: ProjectFiles, tools: Tools
) -> Sequence[Finding]:
    entry_file = files.entry_file
    if entry_file is None and spec.metadata and is_own_title(spec.metadata.name):
        entry_file = read_project(ProjectOptions(root=find_kit())).files.entry_file
    if entry_file is None:
        raise InputError("--rehearse: needs --entry-file, the program that the launcher runs")
    # Only a rehearsal starts the local Dataflow, so it is imported only here.
    from launcher.preflight.rehearsal.play import RehearsalOptions, play_rehearsal

    options = RehearsalOptions(
        entry_file=entry_file,
        launch_limit_sec=args.rehearse_timeout_sec,
        sample=args.sample,
    )
    rehearsal = play_rehearsal(config, spec, options, tools)
    if rehearsal.figures and args.format == "text":
        print(f"Rehearsed: {', '.join(rehearsal.figures)}.")
    return rehearsal.findings


def _refuse_local_live() -> None:
    endpoint = find_endpoint()
    if not is_google(endpoint):
        raise InputError(
            f"--live: queries Google Cloud, but this shell launches at {endpoint}, which has "
            "no permissions or quotas to query; use a shell without the variables of 'flexpack "
            "emulator env'"
        )


def _report(findings: Sequence[Finding], looked_at: Sequence[str], output_format: str) -> int:
    """Print findings; return the exit status."""
    errors = select_errors(findings)
    if output_format == "json":
        print_json(findings)
        return 1 if errors else 0
    if findings:
        print(format_findings(findings))
    counts = Counter(finding.severity for finding in findings)
    hints = f", {counts[Severity.HINT]} HINT" if counts[Severity.HINT] else ""
    print(
        f"{counts[Severity.ERROR]} ERROR, {counts[Severity.WARNING]} WARNING{hints}; checked "
        f"{', '.join(looked_at)}."
    )
    return 1 if errors else 0


def _read_project_options(args: Namespace) -> ProjectOptions:
    return ProjectOptions(
        root=Path(args.project_root),
        dockerfile=Path(args.dockerfile) if args.dockerfile else None,
        locks=tuple(map(Path, args.lock)) if args.lock else None,
        entry_file=Path(args.entry_file) if args.entry_file else None,
        metadata=tuple(map(Path, args.metadata_file)) if args.metadata_file else None,
        target=args.target,
        build_args=args.build_arg,
        role=Role(args.role) if args.role else None,
    )


def _read_config(args: Namespace) -> LaunchConfig:
    location = args.template_file_gcs_location
    return read_options(
        LaunchConfig,
        args,
        job_name=args.job_name,
        # A local spec is checked as if it were uploaded.
        template_file_gcs_location=location if location.startswith("gs://") else "gs://local/spec",
        project=find_project(args) if args.live else args.project or "not-asked",
        region=find_region(args),
    )


def _find_launch_flags(args: Namespace) -> Iterator[str]:
    """Yield the flags that describe a launch; without a spec there is no launch."""
    for flag in ("rehearse", "live"):
        if getattr(args, flag):
            yield f"--{flag}"
    for declared in list_options(LaunchConfig):
        given = getattr(args, declared.name)
        if declared.name == "parameters":
            # A checkpoint can be checked alone, with the class that loads it.
            given = given.keys() - {"model_path", "model_class"}
        if given:
            yield declared.flag


def _find_checkpoint(args: Namespace) -> Path | None:
    given = args.checkpoint or args.parameters.get("model_path", "")
    return Path(given) if args.checkpoint or (given and Path(given).is_file()) else None
