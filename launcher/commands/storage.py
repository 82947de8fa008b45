"""``flexpack storage``: copy files to and from Cloud Storage without gcloud."""

from __future__ import annotations

import itertools
import sys
from argparse import Namespace
from pathlib import Path

from launcher.commands.output import format_count
from launcher.commands.parser import CommandParser, Number, add_verb, add_verbs, set_example
from launcher.google.files import plan_uploads, read_lines, upload_files


def add_flags(parser: CommandParser) -> None:
    """Add the subcommands and their flags."""
    verbs = add_verbs(parser)
    copy = add_verb(verbs, "cp", "copy local files and folders to Cloud Storage", _copy)
    set_example(copy, "flexpack storage cp customers.csv churn.pth gs://my-bucket/churn/")
    copy.add_argument("files", nargs="+", type=Path, metavar="FILE", help="to copy")
    copy.add_argument(
        "-r", "--recursive", action="store_true", help="copy folders too, with all their files"
    )
    copy.add_argument(
        "destination", metavar="DESTINATION", help="gs://BUCKET/FOLDER/, or one object's path"
    )
    cat = add_verb(verbs, "cat", "print the contents of objects", _cat)
    set_example(cat, "flexpack storage cat 'gs://my-bucket/out/*.jsonl' --lines 3")
    cat.add_argument("pattern", metavar="PATTERN", help="gs://BUCKET/PATH, with wildcards")
    cat.add_argument(
        "--lines", type=Number(1), metavar="N", help="only this many; of Parquet, rows as JSON"
    )


def _copy(args: Namespace) -> int:
    """Copy files, and with --recursive folders, to Cloud Storage."""
    uploads = plan_uploads(args.files, args.destination, is_recursive=args.recursive)
    upload_files(uploads)
    print(f"Copied {format_count(len(uploads), 'file')} to {args.destination}")
    return 0


def _cat(args: Namespace) -> int:
    """Print the contents of objects."""
    for line in itertools.islice(
        read_lines(args.pattern, shows_rows=args.lines is not None), args.lines
    ):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    return 0
