"""``python -m template.trial --rows=20 [--watch] FLAGS``, with flags of the batch template."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Try a model, once or whenever a file changes; return the exit status."""
    parser = argparse.ArgumentParser(prog="flexpack try", allow_abbrev=False)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--input", required=True)
    parser.add_argument("--model_path", required=True)
    own, others = parser.parse_known_args(argv)
    flags = [f"--input={own.input}", f"--model_path={own.model_path}", *others]
    sys.path.insert(0, str(Path.cwd()))
    if own.watch:
        from template.trial.watch import watch

        return watch(flags, own.rows, inputs=(own.input, own.model_path))
    if sys.stderr.isatty():
        print("importing Beam and torch ...", end="\r", file=sys.stderr, flush=True)
    try:
        from template.trial.run import try_rows

        return try_rows(flags, own.rows)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
