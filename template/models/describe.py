"""Prints, as JSON, how to load a model file: ``python -m template.models.describe PATH OPTIONS``.

OPTIONS is a JSON object of the model's options, as texts. The launcher, which imports no framework,
uses the output to create a project for the file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from template.model_options import make_model
from template.models.file_model import FileModel
from template.models.kinds import find_kind
from template.needs.describe import print_description
from template.needs.options import find_options
from template.options import find_model_class
from template.parameters import ParameterError, did_you_mean


def describe_file(path: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return a file's class, the values of its options, its columns and packages, as JSON values.

    Blocks while it reads the file.

    Raises:
        ParameterError: the file needs a class of the user's, an option is wrong or missing, or a
            package is missing.
    """
    reference = find_kind(path)
    model_class = find_model_class(reference)
    if not issubclass(model_class, FileModel):
        raise ParameterError(
            f"--model_path {path!r}: holds weights without their network, which only a class of "
            "your own can build"
        )
    declared = find_options(model_class)
    options = {}
    for name, text in given.items():
        if name not in declared:
            raise ParameterError(
                f"option {name!r}: {model_class.kind} has no such option"
                f"{did_you_mean(name, declared)}; it has {', '.join(declared)}"
            )
        try:
            options[name] = declared[name].read(text)
        except ValueError as error:
            raise ParameterError(f"option {name!r}: {text!r}: {error}") from None
    model = make_model(model_class, path, options)
    model.inspect()
    return {
        "model_class": reference,
        "kind": model_class.kind,
        "options": options,
        "packages": list(model_class.modules.values()),
        "columns": [asdict(column) for column in model.columns],
    }


def main(argv: Sequence[str]) -> int:
    """Print what is known about the file; return the exit status."""
    return print_description(lambda: describe_file(argv[0], json.loads(argv[1])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
