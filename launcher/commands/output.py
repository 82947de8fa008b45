"""How commands print: tables, JSON, and findings."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from launcher.finding import Finding, format_findings
from launcher.google.rest import to_rest


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns under their titles, as wide as they need to be."""
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def print_json(records: Any) -> None:
    """Print a record, or several, as the REST API writes them."""
    if isinstance(records, Sequence):
        json_object: Any = [to_rest(record) for record in records]
    else:
        json_object = to_rest(records)
    print(json.dumps(json_object, indent=2))


def warn_of_findings(findings: Sequence[Finding]) -> None:
    """Print warnings to standard error."""
    if findings:
        print(f"flexpack: {format_findings(findings)}", file=sys.stderr)


def format_count(number: int, noun: str) -> str:
    """Return ``1 row`` or ``2 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
