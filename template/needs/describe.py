"""Prints, as JSON, what a model declares: ``python -P -m template.needs.describe MODULE:CLASS``.

It runs where the model can be imported, from the folder of its module. The launcher, which imports
neither the model nor torch, uses the output to make the model's template.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from template.model import BaseModel
from template.needs.images import Images
from template.needs.options import find_options
from template.options import find_model_class
from template.parameters import ParameterError


def describe_model(model_class: type[BaseModel]) -> dict[str, Any]:
    """Return what a model class declares, as JSON values.

    Raises:
        ParameterError: an option cannot be a parameter.
    """
    options = find_options(model_class)
    if taken := sorted(_find_beam_options(options)):
        raise ParameterError(
            f"option {taken[0]!r}: Beam's pipeline options, which Dataflow passes to every job, "
            "have this name too; rename the model's"
        )
    images: object = model_class.images  # a property if only a file states what they are
    is_declared = isinstance(images, Images) and images.is_declared
    return {
        "options": [asdict(option.to_parameter()) for option in options.values()],
        "columns": [asdict(column) for column in model_class.columns],
        "images": asdict(model_class.images) if is_declared else None,
    }


def _find_beam_options(names: Iterable[str]) -> set[str]:
    """Return the names that Beam uses too."""
    taken: set[str] = set()

    def add_flags(parser: argparse.ArgumentParser) -> None:
        for name in names:
            try:
                parser.add_argument(f"--{name}", dest=f"option_{name}")
            except argparse.ArgumentError:
                taken.add(name)

    PipelineOptions([]).get_all_options(add_extra_args_fn=add_flags)
    return taken


def print_description(describe: Callable[[], Mapping[str, Any]]) -> int:
    """Print as JSON what a function finds, or the user's mistake; return the exit status."""
    try:
        described = describe()
    except ParameterError as error:
        print(error, file=sys.stderr)
        return 2
    # On its own line, because an imported module or a framework may have printed something.
    print(f"\n{json.dumps(described)}")
    return 0


def main(argv: Sequence[str]) -> int:
    """Print what the model class declares; return the exit status."""
    sys.path.insert(0, str(Path.cwd()))
    return print_description(lambda: describe_model(find_model_class(argv[0])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
