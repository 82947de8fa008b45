"""``flexpack template``: image, specs and what to type to launch them."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from launcher.accelerators.gpu_defaults import MINIMUM_DISK_GB
from launcher.commands.connection import find_project, find_region
from launcher.commands.environment import read_environment_options
from launcher.commands.image import make_image, read_image_options
from launcher.errors import ImageError
from launcher.google.storage import check_bucket
from launcher.google.transport import find_endpoint, is_google
from launcher.image.build import find_last_image
from launcher.image.plan import plan_build
from launcher.image_reference import read_reference
from launcher.launch.environment import build_environment
from launcher.launch.export.gcloud import build_run_command, format_command
from launcher.package.metadata import build_template_metadata
from launcher.package.spec import build_container_spec
from launcher.package.spec_storage import upload_spec
from template.parameters import TEMPLATES, Template

_LOCAL_IMAGE = "local/flexpack"
_EXAMPLE = "Example: "


def template(args: Namespace) -> int:
    """Make every template: its image, its container spec in Cloud Storage."""
    args.project, args.region = find_project(args), find_region(args)
    is_local = not is_google(find_endpoint())
    bucket = args.bucket.removeprefix("gs://").rstrip("/")
    check_bucket(bucket)  # an image takes minutes
    image = _find_image(args, is_local=is_local)
    options = read_environment_options(args)
    if options.disk_size_gb is None:
        options = replace(options, disk_size_gb=_find_disk_size(image))
    environment = build_environment(options)
    for found in TEMPLATES:
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
    """Return the image of the templates, by digest; build and push it if there is none yet."""
    if args.image:
        image: str = args.image
        if not is_local and read_reference(image).digest is None:
            print(
                f"flexpack: warning: --image {image}: a tag may move, and jobs with it; give the "
                "image by digest",
                file=sys.stderr,
            )
        return image
    if is_local:
        print(
            "On the local Dataflow the templates need no image: "
            f"{_LOCAL_IMAGE} stands for this environment."
        )
        return _LOCAL_IMAGE
    plan = plan_build(Path(), read_image_options(args))
    built = find_last_image(Path())
    if built is None or not built.is_of(plan) or built.pinned is None:
        built = make_image(args, push=True)
    else:
        print(f"{built.reference} is pushed already.")
    if built.pinned is None:
        raise ImageError(f"{built.reference}: was pushed, but has no digest")
    return built.pinned


def _find_disk_size(image: str) -> int | None:
    """Return the disk in GB that the workers need, where the image is known to need a large one."""
    last = find_last_image(Path())
    if last is None or image not in (last.reference, last.pinned):
        return None
    needed = last.disk_size_gb or 0
    return needed if needed > MINIMUM_DISK_GB else None


def _print_launches(
    found: Template, path: str, bucket: str, args: Namespace, *, is_local: bool
) -> None:
    job_name = f"flexpack-{found.name}"
    staging = f"gs://{bucket}/staging"
    parameters = example_parameters(found)
    command = build_run_command(
        job_name,
        template_file_gcs_location=path,
        project=args.project,
        region=args.region,
        staging_location=staging,
        parameters=parameters,
    )
    print("\nLaunch it, with your own values, from a shell:\n")
    words = ["flexpack", "run", job_name, f"--template-file-gcs-location={path}"]
    words += [f"--project={args.project}", f"--region={args.region}"]
    words += [f"--staging-location={staging}"]
    words += [f"--parameters={name}={value}" for name, value in parameters.items()]
    print(format_command(words))
    print("\nwith gcloud:\n")
    print(format_command(command))
    print("\nfrom Python:\n")
    print(format_python(job_name, path, staging, args.project, args.region, parameters))
    if not is_local:
        print(
            "\nor in the Console, as a custom template of this path:\n"
            f"https://console.cloud.google.com/dataflow/createjob?project={args.project}"
        )


def example_parameters(found: Template) -> dict[str, str]:
    """Return a value for every parameter that a launch must give: the example in its help."""
    return {
        parameter.name: parameter.help_text.partition(_EXAMPLE)[2] or parameter.name.upper()
        for parameter in found.parameters
        if not parameter.is_optional
    }


def format_python(
    job_name: str,
    path: str,
    staging: str,
    project: str,
    region: str,
    parameters: Mapping[str, str],
) -> str:
    """Return the Python lines that launch a template and wait for its job."""
    values = "".join(f"        {name!r}: {value!r},\n" for name, value in parameters.items())
    return f"""from launcher import Dataflow, LaunchConfig, build_launch_request, wait_for_job

config = LaunchConfig(
    job_name={job_name!r},
    template_file_gcs_location={path!r},
    project={project!r},
    region={region!r},
    staging_location={staging!r},
    parameters={{
{values}    }},
)
dataflow = Dataflow(config.project, config.region)
job = dataflow.launch(build_launch_request(config))
wait_for_job(dataflow, job.id)"""
