"""``--template NAME``: a template that ``flexpack template`` wrote, by its name."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from pathlib import Path

from launcher.commands.parser import CommandParser
from launcher.errors import InputError
from launcher.google.storage import GCS_OBJECT, TEMPLATE_FLAG

_MAKEFILE = Path("Makefile")
_BUCKET = re.compile(
    r"^[ \t]*(?:export[ \t]+)?BUCKET[ \t]*[?:]{0,3}=[ \t]*(?:gs://)?([^\s#]*)", re.MULTILINE
)
_FOLDER = re.compile(r"^FOLDER = .*\$\(or \$\(BUCKET\),([\w.-]+)\)\)/([\w.-]+)$", re.MULTILINE)
"""In the Makefile of a project: the bucket on the local Dataflow, and the project's folder."""
_NAME = re.compile(r"[\w.-]+")


def add_template_flags(parser: CommandParser) -> None:
    """Add the flags that name the template to launch."""
    template = parser.add_mutually_exclusive_group(required=True)
    template.add_argument(
        TEMPLATE_FLAG,
        metavar="GCS_PATH",
        help="the container spec, gs://BUCKET/PATH.json",
    )
    template.add_argument(
        "--template",
        metavar="NAME",
        help="gs://BUCKET/templates/NAME.json, where 'make template' writes it; the job's files go "
        "below gs://BUCKET/staging",
    )
    parser.add_argument(
        "--bucket",
        help="of --template (default: BUCKET of the Makefile in this folder; in a "
        "project the folder of its name in that bucket)",
    )


def find_template(args: Namespace) -> str:
    """Return the container spec's path; stage in its bucket unless another is given.

    Raises:
        InputError: the name is invalid, or its bucket is unknown or invalid.
    """
    if args.template is None:
        if args.bucket is not None:
            raise InputError("--bucket: needs --template NAME")
        return str(args.template_file_gcs_location)
    if not _NAME.fullmatch(args.template):
        raise InputError(
            f"--template {args.template!r}: a name such as batch; for a path use "
            "--template-file-gcs-location"
        )
    bucket = (args.bucket or _read_bucket()).removeprefix("gs://").rstrip("/")
    if not GCS_OBJECT.fullmatch(f"gs://{bucket}/templates"):
        flag = "--bucket" if args.bucket else f"BUCKET of {_MAKEFILE}"
        raise InputError(f"{flag} {bucket!r}: expected a bucket's name, for example my-bucket")
    args.staging_location = args.staging_location or f"gs://{bucket}/staging"
    return f"gs://{bucket}/templates/{args.template}.json"


def name_template_flag(args: Namespace) -> str:
    """Return how messages introduce the path that ``find_template`` returned."""
    return TEMPLATE_FLAG if args.template is None else f"--template {args.template}, which is"


def _read_bucket() -> str:
    """Return the bucket that the Makefile names, with the folder in it if this is a project."""
    try:
        text = _MAKEFILE.read_text()
    except OSError:
        text = ""
    found, project = _BUCKET.search(text), _FOLDER.search(text)
    if found is None:
        raise InputError(
            "--template: in which bucket? Give --bucket BUCKET, or set BUCKET in the Makefile of "
            "this folder"
        )
    bucket, folder = found[1].rstrip("/"), f"/{project[2]}" if project else ""
    if not bucket and project and "STORAGE_EMULATOR_HOST" in os.environ:
        bucket = project[1]
    if not bucket:
        raise InputError(
            f"--template: BUCKET of the Makefile is empty: give --bucket BUCKET{folder}"
        )
    return bucket + folder
