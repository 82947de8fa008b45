"""``flexpack metadata``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from launcher.emulator import daemon
from launcher.package.metadata import check_metadata_files, write_metadata
from launcher.preflight.summary import build_checks_table


def metadata(args: Namespace) -> int:
    """Write the metadata files and the README's generated parts, or check them."""
    root = Path(args.project_root)
    sections = {"checks": build_checks_table(), "coverage": daemon.build_coverage()}
    if args.check:
        check_metadata_files(root, sections)
        print("The metadata files and the README's generated parts are up to date.")
        return 0
    changed = write_metadata(root, sections)
    for path in changed:
        print(f"wrote {path}")
    if not changed:
        print("Nothing to write: all is up to date.")
    return 0
