"""``--template NAME``: a template that ``flexpack template`` wrote, by its name."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path

from launcher.commands.parser import CommandParser
from launcher.errors import InputError

_MAKEFILE = Path("Makefile")
_BUCKET = re.compile(r"^\s*(?:export\s+)?BUCKET\s*[?:]{0,3}=\s*(?:gs://)?([^\s#]+)", re.MULTILINE)
_NAME = re.compile(r"[\w.-]+")


def add_template_flags(parser: CommandParser) -> None:
    """Add the flags that say which template is launched."""
    template = parser.add_mutually_exclusive_group(required=True)
    template.add_argument(
        "--template-file-gcs-location",
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
        "--bucket", help="of --template (default: BUCKET of the Makefile in this folder)"
    )


def find_template(args: Namespace) -> str:
    """Return where the container spec is; without another, choose its bucket for staging.

    Raises:
        InputError: the name is not one, or its bucket is not known.
    """
    if args.template is None:
        if args.bucket is not None:
            raise InputError("--bucket: goes with --template NAME")
        return str(args.template_file_gcs_location)
    if not _NAME.fullmatch(args.template):
        raise InputError(
            f"--template {args.template!r}: a name such as batch; for a path use "
            "--template-file-gcs-location"
        )
    bucket = (args.bucket or _read_bucket()).removeprefix("gs://").rstrip("/")
    args.staging_location = args.staging_location or f"gs://{bucket}/staging"
    return f"gs://{bucket}/templates/{args.template}.json"


def _read_bucket() -> str:
    try:
        found = _BUCKET.search(_MAKEFILE.read_text())
    except OSError:
        found = None
    if found is None:
        raise InputError(
            "--template: in which bucket? Give --bucket BUCKET, or set BUCKET in the Makefile of "
            "this folder"
        )
    return found[1]
