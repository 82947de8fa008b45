"""The flags that name the model of a template made for one model."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from launcher.commands.parser import CommandParser
from launcher.errors import InputError
from launcher.extras import require_extras
from launcher.package.declaration import Declaration, read_declaration
from launcher.preflight.parameters import RUNTIME_PARAMETERS


def add_python_flag(parser: CommandParser) -> None:
    """Add the interpreter that imports the class of ``--model-class``."""
    parser.add_argument(
        "--python",
        type=Path,
        default=Path(sys.executable),
        help="the interpreter that has the model's packages (default: this one)",
    )


def find_declaration(args: Namespace, root: Path) -> Declaration | None:
    """Return what the class of ``--model-class`` declares; None without that flag.

    Args:
        args: the values of ``--model-class`` and ``--python``.
        root: the folder from which the class is imported.

    Raises:
        InputError: it cannot be imported, or its declaration is invalid.
    """
    if args.model_class is None:
        return None
    if args.python == Path(sys.executable):
        require_extras("--model-class", "template")
    declaration = read_declaration(args.model_class, python=args.python, root=root)
    for option in declaration.options:
        if option.name in RUNTIME_PARAMETERS:
            raise InputError(
                f"--model-class {args.model_class}: option {option.name!r}: Dataflow has a "
                "parameter of that name; rename the option"
            )
    return declaration
