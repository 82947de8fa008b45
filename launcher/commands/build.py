"""``flexpack build``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from launcher.commands.model import add_python_flag, find_declaration
from launcher.commands.options import add_environment_options, add_ignore, read_options
from launcher.commands.output import warn_of_findings
from launcher.commands.parser import CommandParser, set_example
from launcher.errors import InputError
from launcher.finding import refuse_errors, refuse_unknown_codes
from launcher.launch.environment import build_environment
from launcher.launch.options import EnvironmentOptions
from launcher.package.metadata import build_template_metadata, find_template
from launcher.package.spec import build_container_spec, format_spec
from launcher.package.spec_storage import upload_spec
from launcher.preflight.accelerator import check_accelerator


def add_flags(parser: CommandParser) -> None:
    """Add the command's flags and its handler."""
    parser.set_defaults(run=_run)
    set_example(
        parser,
        "flexpack build gs://my-bucket/templates/batch.json --accelerator nvidia-l4:1 \\\n"
        "    --image europe-west1-docker.pkg.dev/my-project/flexpack/flexpack:1.0",
    )
    parser.add_argument(
        "template_file_gcs_path",
        metavar="TEMPLATE_FILE_GCS_PATH",
        help="where the spec is written, gs://BUCKET/PATH.json",
    )
    parser.add_argument("--template", default="batch", help="batch or streaming (default: batch)")
    parser.add_argument("--image", required=True, help="the template's image, preferably by digest")
    parser.add_argument(
        "--model-class",
        metavar="MODULE:CLASS",
        help="make a template for this model: the options that it declares become parameters, its "
        "class does not; it is imported from this folder",
    )
    add_python_flag(parser)
    parser.add_argument("--print-only", action="store_true", help="print the spec, upload nothing")
    add_ignore(parser)
    add_environment_options(parser, "default settings for jobs, which a launch may override")


def _run(args: Namespace) -> int:
    """Make a template's container spec, and write it to Cloud Storage or print it."""
    path = args.template_file_gcs_path
    if path.endswith("/"):
        raise InputError(
            f"TEMPLATE_FILE_GCS_PATH {path!r}: a folder; name the spec in it, for example "
            f"{path}{args.template}.json"
        )
    refuse_unknown_codes(args.ignore)
    environment = build_environment(read_options(EnvironmentOptions, args))
    template = find_template(args.template)
    if declaration := find_declaration(args, Path.cwd()):
        template = declaration.make_template(template)
        environment = declaration.set_environment(environment)
    spec = build_container_spec(
        image=args.image,
        metadata=build_template_metadata(template),
        default_environment=environment,
    )
    findings = refuse_errors(check_accelerator(environment, {}), args.ignore, done="built")
    warn_of_findings(findings)
    if args.print_only:
        print(format_spec(spec))
        return 0
    generation = upload_spec(spec, path)
    print(f"Built {path} (generation {generation}) for {spec.image}.")
    print(f"Launch it:  flexpack run JOB_NAME --template-file-gcs-location {path} ...")
    return 0
