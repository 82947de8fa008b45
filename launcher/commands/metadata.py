"""``flexpack metadata``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from launcher.metadata import check_metadata_files, write_metadata


def metadata(args: Namespace) -> int:
    """Write the metadata files and the README's parameter tables, or check them."""
    root = Path(args.project_root)
    if args.check:
        check_metadata_files(root)
        print("The metadata files and the README's parameter tables are up to date.")
        return 0
    changed = write_metadata(root)
    for path in changed:
        print(f"wrote {path}")
    if not changed:
        print("Nothing to write: all is up to date.")
    return 0
