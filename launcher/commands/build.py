"""``flexpack build``."""

from __future__ import annotations

from argparse import Namespace

from launcher.commands.check import check_codes, refuse_errors
from launcher.commands.environment import read_environment_options
from launcher.errors import InputError
from launcher.launch.environment import build_environment
from launcher.package.metadata import build_template_metadata, find_template
from launcher.package.spec import build_container_spec, format_spec
from launcher.package.spec_storage import upload_spec
from launcher.preflight.accelerator import check_accelerator


def build(args: Namespace) -> int:
    """Make a template's container spec, and write it to Cloud Storage or print it."""
    path = args.template_file_gcs_path
    if path.endswith("/"):
        raise InputError(
            f"TEMPLATE_FILE_GCS_PATH {path!r}: a folder; name the spec in it, for example "
            f"{path}{args.template}.json"
        )
    check_codes(args.ignore)
    environment = build_environment(read_environment_options(args))
    spec = build_container_spec(
        image=args.image,
        metadata=build_template_metadata(find_template(args.template)),
        default_environment=environment,
    )
    refuse_errors(list(check_accelerator(environment, {})), args.ignore, done="built")
    if args.print_only:
        print(format_spec(spec))
        return 0
    generation = upload_spec(spec, path)
    print(f"Built {path} (generation {generation}) for {spec.image}.")
    print(f"Launch it:  flexpack run JOB_NAME --template-file-gcs-location {path} ...")
    return 0
