"""``flexpack build``, ``template``, ``image`` and ``metadata``: what makes a template."""

from __future__ import annotations

import argparse
from typing import Any

from launcher.arguments.parser import Items, KeyValues, add_command, add_group
from launcher.arguments.shared import add_environment_flags, add_ignore, add_place


def add_metadata(commands: Any) -> None:
    """Add ``flexpack metadata``."""
    parser = add_command(
        commands,
        "metadata",
        "metadata:metadata",
        "write metadata/*.json and the README's generated tables",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    parser.add_argument("--project-root", default=".", metavar="DIR", help="default: here")


def add_build(commands: Any) -> None:
    """Add ``flexpack build``."""
    parser = add_command(
        commands,
        "build",
        "build:build",
        "make a template's container spec and upload it",
        example="flexpack build gs://my-bucket/templates/batch.json --accelerator nvidia-l4:1 \\\n"
        "    --image europe-west1-docker.pkg.dev/my-project/flexpack/flexpack:1.0",
    )
    parser.add_argument(
        "template_file_gcs_path",
        metavar="TEMPLATE_FILE_GCS_PATH",
        help="where the spec is written, gs://BUCKET/PATH.json",
    )
    parser.add_argument("--template", default="batch", help="batch or streaming (default: batch)")
    parser.add_argument("--image", required=True, help="the template's image, best by digest")
    parser.add_argument("--print-only", action="store_true", help="print the spec, upload nothing")
    add_ignore(parser)
    add_environment_flags(parser, "defaults of the jobs, which a launch may override")


def add_template(commands: Any) -> None:
    """Add ``flexpack template``."""
    parser = add_command(
        commands,
        "template",
        "template:template",
        "make every template: image, container spec, and what to type to launch it",
        example="flexpack template --bucket my-bucket --project my-project --region europe-west1",
    )
    parser.add_argument("--bucket", required=True, help="specs go to gs://BUCKET/templates/")
    add_place(parser)
    _add_build_flags(parser, "default: the last one pushed, or else built and pushed")
    add_environment_flags(parser, "defaults of the jobs, which a launch may override")


def add_image(commands: Any) -> None:
    """Add ``flexpack image``."""
    verbs = add_group(commands, "image", "build and test the container image")
    for name, help_text in (
        ("tag", "print the image's name and tag, inferred from git"),
        ("build", "build the image with docker, buildah or Cloud Build"),
    ):
        parser = add_command(verbs, name, f"image:{name}", help_text)
        parser.add_argument(
            "--project", help="with --region: of the Artifact Registry (default: a local image)"
        )
        parser.add_argument("--region", help="see --project")
        _add_build_flags(parser, "name without tag; default: from project and region")
        if name == "build":
            parser.add_argument("--push", action="store_true", help="push it, report its digest")
    test = add_command(verbs, "test", "image:test", "enter the image, play launcher and worker")
    test.add_argument("--image", metavar="IMAGE", help="default: the last one built")
    test.add_argument("--engine", metavar="NAME", help="docker or buildah; default: what is there")
    test.add_argument("--no-size", action="store_true", help="leave out the layers' sizes")
    lock = add_command(verbs, "lock", "image:lock", "pin the image's packages anew")
    lock.add_argument("flavours", nargs="*", metavar="FLAVOUR", help="default: all")


def _add_build_flags(parser: argparse.ArgumentParser, image_help: str) -> None:
    group = parser.add_argument_group("how the image is built")
    group.add_argument("--image", metavar="NAME", help=image_help)
    group.add_argument(
        "--repository", default="flexpack", help="in Artifact Registry (default: flexpack)"
    )
    group.add_argument("--tag", help="default: from git, TAG or TAG.devN-gHASH[-tTREE]")
    group.add_argument("--flavour", help="torch's build: cu130 (default), cu126 or cpu")
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
