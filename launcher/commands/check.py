"""``flexpack check``, and the checks before ``flexpack run``."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.commands.connection import find_project, find_region
from launcher.commands.environment import environment_values
from launcher.commands.table import print_table
from launcher.errors import InputError, SpecError
from launcher.finding import (
    Finding,
    format_findings,
    select_errors,
    without_ignored,
)
from launcher.google.rest import to_rest
from launcher.google.storage import read_object
from launcher.google.transport import find_endpoint, is_google
from launcher.launch.environment import EnvironmentOptions
from launcher.launch.request import LaunchConfig, build_launch_request
from launcher.package.spec import ContainerSpec, parse_spec
from launcher.preflight.codes import CODES
from launcher.preflight.spec import check_spec_text
from launcher.preflight.static import (
    ProjectFiles,
    Tools,
    check_checkpoint_file,
    check_launch,
    check_project,
    find_project_files,
)
from template.parameters import did_you_mean

if TYPE_CHECKING:
    from launcher.preflight.rehearsal.stage import Rehearsal


def check(args: Namespace) -> int:
    """Check a template's files and a launch of it; return 1 where a finding is an ERROR."""
    if args.codes:
        print_table(
            ("CODE", "DEPTH", "MEANING"),
            [(code.name, code.depth, code.meaning) for code in CODES],
        )
        return 0
    check_codes(args.ignore)
    if args.sample and not args.rehearse:
        raise InputError("--sample: needs --rehearse, which publishes it")
    files = _read_project_files(args)
    project = check_project(files)
    looked_at = [str(path) for path in project.read]
    findings = list(project.findings)
    figures: Sequence[str] = ()
    tools = Tools(python=Path(args.python), root=Path(args.project_root))
    checkpoint = _find_checkpoint(args)
    if checkpoint:
        looked_at.append(str(checkpoint))
    if args.template_file_gcs_location:
        looked_at.append(args.template_file_gcs_location)
        text = read_spec_text(args.template_file_gcs_location)
        with names_spec(args.template_file_gcs_location):
            findings += check_spec_text(text)
            spec = parse_spec(text)
        config = _read_config(args)
        findings += check_launch(
            build_launch_request(config, spec),
            spec,
            region=config.region,
            tools=tools,
            torch_build=project.torch_build,
            checkpoint=checkpoint,
        )
        if args.rehearse:
            rehearsal = _rehearse(args, config, spec, files)
            findings += rehearsal.findings
            figures = rehearsal.figures
        if args.live:
            findings += _ask(args, config, spec)
    elif flags := _find_launch_flags(args):
        raise InputError(f"{flags[0]}: needs --template-file-gcs-location, the template to launch")
    elif checkpoint:
        model_class = args.parameters.get("model_class")
        findings += check_checkpoint_file(checkpoint, model_class=model_class, tools=tools)[1]
    if not looked_at:
        raise InputError(
            f"--project-root {args.project_root}: nothing to check there; name the template's "
            "spec with --template-file-gcs-location, or files with --dockerfile, --entry-file"
        )
    if figures and args.format == "text":
        print(f"Rehearsed: {', '.join(figures)}.")
    return report(without_ignored(findings, args.ignore), looked_at, args.format)


def report(findings: Sequence[Finding], looked_at: Sequence[str], output_format: str) -> int:
    """Print findings; return the exit status."""
    errors = select_errors(findings)
    if output_format == "json":
        print(json.dumps([to_rest(finding) for finding in findings], indent=2))
        return 1 if errors else 0
    if findings:
        print(format_findings(findings))
    print(
        f"{len(errors)} ERROR, {len(findings) - len(errors)} WARNING; looked at "
        f"{', '.join(looked_at)}."
    )
    return 1 if errors else 0


def refuse_errors(
    findings: Sequence[Finding], ignored: Sequence[str] = (), *, done: str = "launched"
) -> None:
    """Print warnings to standard error, and stop a command at an ERROR.

    Args:
        done: what the command would have done.

    Raises:
        InputError: there is one.
    """
    kept = without_ignored(findings, ignored)
    errors = select_errors(kept)
    if errors:
        raise InputError(
            f"the check found {len(errors)} error{'s' if len(errors) > 1 else ''}; nothing was "
            f"{done}. --ignore CODE passes over one.\n{format_findings(kept)}"
        )
    if kept:
        print(f"flexpack: {format_findings(kept)}", file=sys.stderr)


def check_codes(codes: Sequence[str]) -> None:
    """Refuse codes that do not exist.

    Raises:
        InputError: one does not.
    """
    known = [code.name for code in CODES]
    for code in codes:
        if code not in known:
            raise InputError(
                f"--ignore {code!r}: no such code{did_you_mean(code, known) or '.'} "
                "'flexpack check --codes' lists them"
            )


@contextmanager
def names_spec(location: str) -> Iterator[None]:
    """Name the file in what is said of a spec that cannot be read."""
    try:
        yield
    except SpecError as error:
        raise SpecError(
            f"--template-file-gcs-location {location}: no container spec, as 'flexpack build' "
            f"writes it: {error}"
        ) from error


def read_spec_text(location: str) -> bytes:
    """Return a spec's text from Cloud Storage or from a local file.

    Raises:
        InputError: there is none.
    """
    if location.startswith("gs://"):
        return read_object(location)
    try:
        return Path(location).read_bytes()
    except OSError as problem:
        raise InputError(
            f"--template-file-gcs-location {location}: {problem.strerror}; expected "
            "gs://BUCKET/PATH.json, or a file of this machine"
        ) from problem


def _rehearse(
    args: Namespace, config: LaunchConfig, spec: ContainerSpec, files: ProjectFiles
) -> Rehearsal:
    if files.entry_file is None:
        raise InputError("--rehearse: needs --entry-file, the program that the launcher runs")
    # The local Dataflow is started for nothing else, and imported only then.
    from launcher.commands.rehearsal import play_rehearsal

    return play_rehearsal(
        config,
        spec,
        entry_file=files.entry_file,
        root=Path(args.project_root),
        python=Path(args.python),
        launch_limit_sec=args.rehearse_timeout_sec,
        sample=args.sample,
    )


def _ask(args: Namespace, config: LaunchConfig, spec: ContainerSpec) -> list[Finding]:
    endpoint = find_endpoint()
    if not is_google(endpoint):
        raise InputError(
            f"--live: asks Google Cloud, but this shell launches at {endpoint}, which has no "
            "rights or quotas to ask for; use a shell without the variables of 'flexpack emulator "
            "env'"
        )
    # The Google clients are loaded only where they are asked.
    from launcher.preflight.live import Cloud, Launch, check_live

    request = build_launch_request(config, spec)
    launch = Launch(
        project=find_project(args),
        region=config.region,
        image=spec.image,
        environment=request.environment_over(spec),
        parameters=dict(request.launch_parameter.parameters),
        metadata=spec.metadata,
    )
    return list(check_live(Cloud(), launch))


def _read_project_files(args: Namespace) -> ProjectFiles:
    files = find_project_files(Path(args.project_root))
    if args.dockerfile:
        files = replace(files, dockerfile=Path(args.dockerfile))
    if args.lock:
        files = replace(files, locks=tuple(map(Path, args.lock)))
    if args.entry_file:
        files = replace(files, entry_file=Path(args.entry_file))
    if args.metadata_file:
        files = replace(files, metadata=tuple(map(Path, args.metadata_file)))
    return files


def _read_config(args: Namespace) -> LaunchConfig:
    location = args.template_file_gcs_location
    return LaunchConfig(
        job_name=args.job_name,
        # A local spec is checked as if it were uploaded.
        template_file_gcs_location=location if location.startswith("gs://") else "gs://local/spec",
        project=args.project or "not-asked",
        region=find_region(args),
        parameters=args.parameters,
        right_fitting=args.right_fitting,
        **environment_values(args),
    )


def _find_launch_flags(args: Namespace) -> list[str]:
    """Return the flags that say something of a launch, of which there is none without a spec."""
    options = EnvironmentOptions()
    named = {
        name: value != getattr(options, name) for name, value in environment_values(args).items()
    }
    for name in ("rehearse", "live", "right_fitting"):
        named[name] = getattr(args, name)
    # A checkpoint can be checked by itself, by the class that shall load it.
    named["parameters"] = bool(args.parameters.keys() - {"model_path", "model_class"})
    return [f"--{name.replace('_', '-')}" for name, is_given in named.items() if is_given]


def _find_checkpoint(args: Namespace) -> Path | None:
    given = args.checkpoint or args.parameters.get("model_path", "")
    return Path(given) if args.checkpoint or (given and Path(given).is_file()) else None
