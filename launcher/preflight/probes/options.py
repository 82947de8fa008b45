"""Prints, as JSON, which pipeline options Beam does not know, each with its nearest known name.

``options.py NAME...``
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys


def main(names: list[str]) -> dict[str, str | None]:
    """Return the unknown names."""
    from apache_beam.options.pipeline_options import PipelineOptions

    known: set[str] = set()

    def collect(parser: argparse.ArgumentParser) -> None:
        known.update(
            flag.removeprefix("--")
            for flag in parser._option_string_actions
            if flag.startswith("--")
        )

    PipelineOptions([]).get_all_options(add_extra_args_fn=collect)
    unknown: dict[str, str | None] = {}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
            unknown[name] = near[0] if near else None
    return unknown


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(main(sys.argv[1:]))}\n")
