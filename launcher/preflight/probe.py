"""Run a probe: a program in the image's environment, under a time limit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from launcher.errors import FlexpackError
from launcher.extras import find_missing, format_install


class ProbeError(FlexpackError):
    """A probe gave no answer: the interpreter is missing, it crashed, or time ran out."""


def run_probe(
    name: str, arguments: Sequence[str], *, python: Path, root: Path, timeout_sec: float
) -> Any:
    """Run ``launcher/preflight/probes/NAME.py`` and return what it prints.

    Blocks for at most ``timeout_sec``.

    Args:
        python: the interpreter that has the image's packages.
        root: working directory, from which the user's modules are imported.

    Raises:
        ProbeError: it gave no answer; the message says why.
    """
    program = resources.files("launcher.preflight.probes").joinpath(f"{name}.py")
    try:
        done = subprocess.run(
            [str(python), str(program), *arguments],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=timeout_sec,
            check=False,
        )
    except subprocess.TimeoutExpired as problem:
        raise ProbeError(f"no answer within {timeout_sec:g} s") from problem
    except OSError as problem:
        raise ProbeError(f"{python}: {problem.strerror}") from problem
    try:
        return json.loads(done.stdout.rstrip().rpartition("\n")[2])
    except ValueError as problem:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"
        raise ProbeError(f"{python}: {last}") from problem


def explain_python(python: Path) -> str:
    """Return how to give the probes an interpreter that has the image's packages."""
    remedy = "Use --python to name the interpreter that has the image's packages"
    if python == Path(sys.executable) and find_missing("template"):
        return f"{remedy}, or install them in this one: {format_install('template')}"
    return f"{remedy}."
