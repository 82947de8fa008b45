"""The ``flexpack`` command: its flags, which command they call, and how errors are shown.

Flags carry gcloud's words. Nothing heavy is imported until a command runs, so that ``--help``
answers at once; of the modules outside ``launcher.commands``, only this one prints or exits.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from launcher.accelerators import Accelerator
from launcher.arguments import CommandParser, Items, KeyValues
from launcher.errors import FlexpackError, InputError
from template.parameters import did_you_mean

_INTERRUPTED = 130
_DATA_DIR = ".flexpack"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 it failed, 2 bad input."""
    try:
        args = _parse(argv)
        module, _, function = args.command.partition(":")
        command = getattr(importlib.import_module(module), function)
        status: int = command(args)
        sys.stdout.flush()
    except FlexpackError as error:
        print(f"flexpack: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader, such as head, has seen enough; keep the interpreter from flushing to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = CommandParser(
        prog="flexpack",
        description="Package a PyTorch prediction pipeline as a Dataflow Flex Template, launch it, "
        "and run it on a local Dataflow.",
        epilog='Without a cloud: eval "$(flexpack emulator env)" points everything at the local '
        "Dataflow.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_metadata(commands)
    _add_build(commands)
    _add_run(commands)
    _add_template(commands)
    _add_image(commands)
    _add_check(commands)
    _add_jobs(commands)
    _add_accelerators(commands)
    _add_emulator(commands)
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    args, unknown = build_parser().parse_known_args(argv)
    if unknown:
        name = unknown[0].partition("=")[0]
        flags: Iterable[str] = args.parser._option_string_actions
        raise InputError(
            f"{name}: {args.parser.prog} has no such argument"
            f"{did_you_mean(name, flags)}\nsee '{args.parser.prog} --help'"
        )
    return args


def _add_command(
    commands: Any, name: str, command: str, help_text: str, **options: Any
) -> argparse.ArgumentParser:
    """Add a command; ``command`` says where its function is, as ``module:function``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.", **options
    )
    parser.set_defaults(command=f"launcher.commands.{command}", parser=parser)
    return parser


def _add_metadata(commands: Any) -> None:
    parser = _add_command(
        commands,
        "metadata",
        "metadata:metadata",
        "write metadata/*.json and the README's generated tables",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    parser.add_argument("--project-root", default=".", metavar="DIR", help="default: here")


def _add_build(commands: Any) -> None:
    parser = _add_command(
        commands, "build", "build:build", "make a template's container spec and upload it"
    )
    parser.add_argument("template_file_gcs_path", metavar="TEMPLATE_FILE_GCS_PATH", help="gs://...")
    parser.add_argument("--template", default="batch", help="which template (default: batch)")
    parser.add_argument("--image", required=True, help="the template's image, best by digest")
    parser.add_argument("--print-only", action="store_true", help="print the spec, upload nothing")
    _add_ignore(parser)
    _add_environment_flags(parser, "defaults of the jobs, which a launch may override")


def _add_run(commands: Any) -> None:
    parser = _add_command(commands, "run", "run:run", "launch a template")
    parser.add_argument("job_name", metavar="JOB_NAME")
    parser.add_argument(
        "--template-file-gcs-location",
        required=True,
        metavar="GCS_PATH",
        help="the container spec, gs://BUCKET/PATH.json",
    )
    _add_parameters(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="check, print the request and launch nothing"
    )
    parser.add_argument(
        "--no-check", action="store_true", help="launch unchecked; with --dry-run, read nothing"
    )
    _add_ignore(parser)
    parser.add_argument(
        "--fallback",
        action=Items,
        default=(),
        metavar="KEY=VALUE,...",
        help="where to launch next when there is no capacity or quota, for example "
        "region=europe-west4 or accelerator=nvidia-tesla-t4:1; repeat the flag for each rung",
    )
    parser.add_argument("--wait", action="store_true", help="follow the job, exit by its outcome")
    _add_timeout(parser)
    parser.add_argument(
        "--launch-timeout-sec",
        type=int,
        metavar="SECONDS",
        help="how long the service waits for the template's launcher",
    )
    _add_place(parser)
    _add_environment_flags(parser, "the job's environment; what is not given, the spec decides")


def _add_template(commands: Any) -> None:
    parser = _add_command(
        commands,
        "template",
        "template:template",
        "make every template: image, container spec, and what to type to launch it",
    )
    parser.add_argument("--bucket", required=True, help="specs go to gs://BUCKET/templates/")
    _add_place(parser)
    _add_image_build_flags(parser, "default: the last one pushed, or else built and pushed")
    _add_environment_flags(parser, "defaults of the jobs, which a launch may override")


def _add_image(commands: Any) -> None:
    group = commands.add_parser("image", help="the container image", description="The image.")
    verbs = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, help_text in (
        ("tag", "print the image's name and tag, inferred from git"),
        ("build", "build the image with docker, buildah or Cloud Build"),
    ):
        parser = _add_command(verbs, name, f"image:{name}", help_text)
        _add_place(parser)
        _add_image_build_flags(parser, "name without tag; default: from project and region")
        if name == "build":
            parser.add_argument("--push", action="store_true", help="push it, report its digest")
    test = _add_command(verbs, "test", "image:test", "enter the image, play launcher and worker")
    test.add_argument("--image", metavar="IMAGE", help="default: the last one built")
    test.add_argument("--engine", metavar="NAME", help="docker or buildah; default: what is there")
    test.add_argument("--no-size", action="store_true", help="leave out the layers' sizes")
    lock = _add_command(verbs, "lock", "image:lock", "pin the image's packages anew")
    lock.add_argument("flavours", nargs="*", metavar="FLAVOUR", help="default: all")


def _add_image_build_flags(parser: argparse.ArgumentParser, image_help: str) -> None:
    group = parser.add_argument_group("how the image is built")
    group.add_argument("--image", metavar="NAME", help=image_help)
    group.add_argument("--repository", default="flexpack", help="in Artifact Registry")
    group.add_argument("--tag", help="default: from git, TAG or TAG.devN-gHASH[-tTREE]")
    group.add_argument(
        "--flavour", default="cu130", help="torch's build: cu130 (default), cu126 or cpu"
    )
    group.add_argument(
        "--engine", metavar="NAME", help="docker, buildah or cloudbuild; default: what is there"
    )
    group.add_argument(
        "--build-arg",
        action=KeyValues,
        default={},
        metavar="NAME=VALUE",
        help="an ARG of docker/Dockerfile, such as PYTHON_IMAGE; repeat the flag for each",
    )
    group.add_argument("--pip-conf", metavar="FILE", help="pip.conf for an index of your own")
    group.add_argument("--ca-bundle", metavar="FILE", help="certificates that pip.conf refers to")
    group.add_argument(
        "--volume",
        action=Items,
        default=(),
        metavar="FOLDER",
        help="a folder of wheels that the build may read (buildah)",
    )


def _add_check(commands: Any) -> None:
    parser = _add_command(
        commands, "check", "check:check", "find what would fail, before it is launched"
    )
    parser.add_argument(
        "--template-file-gcs-location",
        metavar="PATH",
        help="check a launch of this container spec too, gs://... or a local file",
    )
    parser.add_argument("--job-name", default="checked", help=argparse.SUPPRESS)
    _add_parameters(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    _add_ignore(parser)
    parser.add_argument("--codes", action="store_true", help="list the codes and what they mean")
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="launch on a local Dataflow with the network off, and predict a sample of the input",
    )
    parser.add_argument(
        "--live", action="store_true", help="ask the project, reading only, as you are logged in"
    )
    parser.add_argument(
        "--rehearse-timeout-sec",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="how long the rehearsed launcher may take (default: 120)",
    )
    files = parser.add_argument_group("files of the template; what is not named is looked for")
    files.add_argument("--project-root", default=".", metavar="DIR", help="default: here")
    files.add_argument("--dockerfile", metavar="FILE")
    files.add_argument("--lock", action="append", metavar="FILE", help="requirements; repeatable")
    files.add_argument("--entry-file", metavar="FILE", help="what the launcher runs")
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
    _add_place(parser)
    _add_environment_flags(parser, "the job's environment; what is not given, the spec decides")


def _add_jobs(commands: Any) -> None:
    group = commands.add_parser("jobs", help="list, follow, cancel jobs", description="Jobs.")
    verbs = group.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, function: str, help_text: str) -> argparse.ArgumentParser:
        parser = _add_command(verbs, name, f"jobs:{function}", help_text)
        if name != "list":
            parser.add_argument("job_id", metavar="JOB_ID")
        _add_place(parser)
        return parser

    listing = add("list", "list_jobs", "list jobs")
    listing.add_argument("--status", choices=("all", "active", "terminated"), default="all")
    listing.add_argument("--name", help="only jobs of this name")
    listing.add_argument("--limit", type=int, default=20, metavar="N", help="default: 20")
    describe = add("describe", "describe", "show one job")
    messages = add("messages", "messages", "show a job's messages")
    messages.add_argument(
        "--importance",
        choices=("debug", "detailed", "basic", "warning", "error"),
        default="basic",
        help="this and above (default: basic)",
    )
    metrics = add("metrics", "metrics", "show a job's metrics")
    metrics.add_argument(
        "--source",
        choices=("user", "service", "all"),
        default="user",
        help="whose metrics (default: user, the pipeline's own)",
    )
    for parser in (listing, describe, messages, metrics):
        parser.add_argument("--format", choices=("text", "json"), default="text")
    _add_timeout(add("wait", "wait", "follow a job to its end, exit by its outcome"))
    cancel = add("cancel", "cancel", "stop a job at once")
    cancel.add_argument(
        "--force", action="store_true", help="for a job whose cancelling has hung for 30 minutes"
    )
    add("drain", "drain", "let a streaming job finish what it has read, then stop")


def _add_accelerators(commands: Any) -> None:
    parser = _add_command(
        commands, "accelerators", "accelerators:accelerators", "list the GPUs of Dataflow workers"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")


def _add_emulator(commands: Any) -> None:
    group = commands.add_parser(
        "emulator", help="the local Dataflow", description="Local Dataflow."
    )
    verbs = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    start = _add_command(verbs, "start", "emulator:start", "serve Dataflow and storage locally")
    start.add_argument("--port", type=int, default=9100, help="of Dataflow (default: 9100)")
    start.add_argument("--storage-port", type=int, help="default: the port after Dataflow's")
    start.add_argument(
        "--images", metavar="FILE", help="images.toml: which environment stands for which image"
    )
    start.add_argument(
        "--max-jobs",
        type=int,
        metavar="N",
        help="run so many jobs at once, the others wait (default: one a core, 4 or more)",
    )
    start.add_argument("--detach", action="store_true", help="return once it serves")
    env = _add_command(
        verbs, "env", "emulator:env", "print shell commands that point every client at it"
    )
    env.add_argument(
        "--project",
        default=os.environ.get("CLOUDSDK_CORE_PROJECT") or "local-project",
        help="project id that the clients shall use (default: local-project)",
    )
    stop = _add_command(verbs, "stop", "emulator:stop", "stop it and the jobs that it runs")
    for parser in (start, env, stop):
        parser.add_argument(
            "--data-dir", default=_DATA_DIR, metavar="DIR", help=f"default: {_DATA_DIR}"
        )


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parameters",
        action=KeyValues,
        default={},
        metavar="KEY=VALUE",
        help="a parameter of the template; repeat the flag for each. The value may hold commas",
    )
    parser.add_argument(
        "--right-fitting",
        action="store_true",
        help="give the accelerator to the prediction step only, not to every worker",
    )


def _add_ignore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ignore",
        action=Items,
        const=True,
        default=(),
        metavar="CODE,...",
        help="findings to pass over; 'flexpack check --codes' lists the codes",
    )


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", help="default: CLOUDSDK_CORE_PROJECT, GOOGLE_CLOUD_PROJECT")
    parser.add_argument("--region", help="default: CLOUDSDK_DATAFLOW_REGION, us-central1")


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout-sec",
        type=float,
        default=24 * 60 * 60,
        metavar="SECONDS",
        help="longest wait for the job, which goes on after it (default: a day)",
    )


def _add_environment_flags(parser: argparse.ArgumentParser, title: str) -> None:
    """Add a flag for each field of ``launcher.environment.EnvironmentOptions``, by its name."""
    group = parser.add_argument_group(title)
    group.add_argument(
        "--accelerator",
        type=Accelerator.parse,
        metavar="TYPE[:COUNT[:DRIVER]][:mps]",
        help="GPUs of each worker, for example nvidia-l4:1; see 'flexpack accelerators'",
    )
    group.add_argument("--worker-machine-type", metavar="TYPE")
    group.add_argument("--num-workers", type=int, metavar="N", help="workers to start with")
    group.add_argument("--max-workers", type=int, metavar="N")
    group.add_argument("--disk-size-gb", type=int, metavar="GB", help="of each worker")
    group.add_argument("--sdk-container-image", metavar="IMAGE", help="the workers' image")
    group.add_argument("--launcher-machine-type", metavar="TYPE")
    group.add_argument("--staging-location", metavar="GCS_FOLDER")
    group.add_argument("--temp-location", metavar="GCS_FOLDER", help="default: staging location")
    group.add_argument("--worker-region", metavar="REGION")
    group.add_argument("--worker-zone", metavar="ZONE")
    group.add_argument("--service-account-email", metavar="EMAIL")
    group.add_argument("--network", metavar="NETWORK")
    group.add_argument("--subnetwork", metavar="SUBNETWORK")
    group.add_argument("--disable-public-ips", action="store_true")
    group.add_argument("--dataflow-kms-key", metavar="KEY")
    group.add_argument("--enable-streaming-engine", action="store_true")
    group.add_argument(
        "--additional-experiments", action=Items, const=True, default=(), metavar="NAME,..."
    )
    group.add_argument(
        "--additional-pipeline-options",
        action=Items,
        default=(),
        metavar="NAME=VALUE",
        help="repeat the flag for each; the value may hold commas",
    )
    group.add_argument(
        "--additional-user-labels",
        action=KeyValues,
        const=True,
        default={},
        metavar="KEY=VALUE,...",
    )
