"""``flexpack template``: the image, the specs, and the commands that launch them."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from launcher.accelerators.gpu_defaults import MINIMUM_DISK_GB
from launcher.commands.connection import find_project, find_region
from launcher.commands.image import (
    add_build_flags,
    add_gate_flags,
    make_image,
    plan_image,
    read_image_options,
    read_trial,
)
from launcher.commands.model import add_python_flag, find_declaration
from launcher.commands.options import add_environment_options, add_place, read_options
from launcher.commands.parser import CommandParser, set_example
from launcher.errors import ImageError, InputError
from launcher.google.storage import check_bucket
from launcher.google.transport import find_endpoint, is_google
from launcher.image.record import find_last_image
from launcher.image_reference import read_reference
from launcher.launch.environment import build_environment
from launcher.launch.export import (
    build_flexpack_command,
    build_gcloud_command,
    format_command,
)
from launcher.launch.options import EnvironmentOptions, LaunchConfig
from launcher.package.metadata import build_example_parameters, build_template_metadata
from launcher.package.spec import build_container_spec
from launcher.package.spec_storage import upload_spec
from template.parameters import TEMPLATES, Template

_LOCAL_IMAGE = "local/flexpack"


def add_flags(parser: CommandParser) -> None:
    """Add the command's flags and its handler."""
    parser.set_defaults(run=_run)
    set_example(
        parser,
        "flexpack template --bucket my-bucket --project my-project --region europe-west1",
    )
    parser.add_argument("--bucket", required=True, help="for the specs: gs://BUCKET/templates/")
    add_place(parser)
    add_build_flags(parser, "default: the last one pushed, or a new one, built and pushed")
    add_gate_flags(
        parser,
        "make the templates for this model: the options that it declares become parameters, its "
        "class does not; it is imported from the folder of --code or from this one, and in the "
        "image",
    )
    add_python_flag(parser)
    add_environment_options(parser, "default settings for jobs, which a launch may override")


def _run(args: Namespace) -> int:
    args.project, args.region = find_project(args), find_region(args)
    is_local = not is_google(find_endpoint())
    bucket = args.bucket.removeprefix("gs://").rstrip("/")
    check_bucket(bucket)  # an image takes minutes
    declaration = find_declaration(args, Path(args.code[0]) if args.code else Path.cwd())
    image = _find_image(args, is_local=is_local)
    options = read_options(EnvironmentOptions, args)
    if options.disk_size_gb is None:
        options = replace(options, disk_size_gb=_find_disk_size(image))
    environment = build_environment(options)
    templates: tuple[Template, ...] = TEMPLATES
    if declaration:
        templates = tuple(map(declaration.make_template, TEMPLATES))
        environment = declaration.set_environment(environment)
    for found in templates:
        path = f"gs://{bucket}/templates/{found.name}.json"
        spec = build_container_spec(
            image=image,
            metadata=build_template_metadata(found),
            default_environment=environment,
        )
        upload_spec(spec, path)
        print(f"\n{found.title}\n  spec   {path}\n  image  {spec.image}")
        _print_launches(found, path, bucket, args, is_local=is_local)
    return 0


def _find_image(args: Namespace, *, is_local: bool) -> str:
    """Return the templates' image by digest; build and push it if it does not exist yet."""
    if args.code and (args.image or is_local):
        given = f"--image {args.image} names one" if args.image else "the local Dataflow needs none"
        code = args.code[0]
        raise InputError(
            f"--code {code}: builds an image, and {given}. On the local Dataflow: 'flexpack "
            f"emulator register NAME --code {code}', then --image local/NAME"
        )
    if args.image:
        image: str = args.image
        if not is_local and read_reference(image).digest is None:
            print(
                f"flexpack: warning: --image {image}: a tag may move, and jobs would then run "
                "another image; give the image by digest",
                file=sys.stderr,
            )
        return image
    if is_local:
        print(
            "On the local Dataflow the templates need no image: "
            f"{_LOCAL_IMAGE} stands for this environment."
        )
        return _LOCAL_IMAGE
    plan = plan_image(read_image_options(args), push=True)
    built = find_last_image(Path())
    if built is None or not built.is_of(plan) or built.pinned is None:
        built = make_image(
            plan,
            engine=args.engine,
            push=True,
            test=not args.no_test,
            trial=read_trial(args),
        )
    else:
        print(f"{built.reference} has already been pushed.")
    if built.pinned is None:
        raise ImageError(f"{built.reference}: was pushed, but has no digest")
    return built.pinned


def _find_disk_size(image: str) -> int | None:
    """Return the disk in GB that the workers need, or None if the default is enough."""
    last = find_last_image(Path())
    if last is None or image not in (last.reference, last.pinned):
        return None
    needed = last.disk_size_gb or 0
    return needed if needed > MINIMUM_DISK_GB else None


def _print_launches(
    found: Template, path: str, bucket: str, args: Namespace, *, is_local: bool
) -> None:
    config = LaunchConfig(
        job_name=f"{re.sub('[^a-z0-9-]', '-', bucket.rpartition('/')[2])}-{found.name}",
        template_file_gcs_location=path,
        project=args.project,
        region=args.region,
        staging_location=f"gs://{bucket}/staging",
        parameters=build_example_parameters(found, bucket=bucket, project=args.project),
    )
    print("\nLaunch it, with paths of your own:\n")
    print(format_command(build_flexpack_command(config)))
    print("\nwith gcloud:\n")
    print(format_command(build_gcloud_command(config)))
    if not is_local:
        print(
            "\nor in the Console, as a custom template with this path:\n"
            f"https://console.cloud.google.com/dataflow/createjob?project={args.project}"
        )
