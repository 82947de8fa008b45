"""``flexpack metadata``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from launcher.commands.parser import CommandParser
from launcher.emulator import daemon
from launcher.extras import require_extras
from launcher.launch.options import build_options_table
from launcher.package.metadata import (
    check_metadata_files,
    find_metadata_folder,
    write_metadata,
)
from launcher.preflight.summary import build_checks_table


def add_flags(parser: CommandParser) -> None:
    """Add the command's flags and its handler."""
    parser.set_defaults(run=_run)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    parser.add_argument("--project-root", default=".", metavar="DIR", help="default: here")


def _run(args: Namespace) -> int:
    """Write the metadata files and the documents' generated parts, or check them."""
    root = Path(args.project_root)
    find_metadata_folder(root)
    require_extras("metadata", "emulator")
    sections = {
        "launch options": build_options_table(),
        "checks": build_checks_table(),
        "coverage": daemon.build_coverage(),
    }
    if args.check:
        check_metadata_files(root, sections)
        print("The metadata files and the documents' generated parts are up to date.")
        return 0
    changed = write_metadata(root, sections)
    for path in changed:
        print(f"wrote {path}")
    if not changed:
        print("Nothing to write: everything is up to date.")
    return 0
