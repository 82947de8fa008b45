"""Checks that Beam knows a launch's pipeline options; it drops unknown ones."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from launcher.accelerators.gpu_defaults import THREADS_OPTION
from launcher.finding import (
    OPTIONS_COMMA,
    OPTIONS_UNASKED,
    OPTIONS_UNKNOWN,
    Finding,
    error,
    warning,
)
from launcher.package.declaration import MODEL_CLASS
from launcher.preflight.probe import ProbeError, explain_python, run_probe

_LISTS = ("experiments", "dataflow_service_options", "labels")
_NEXT_OPTION = re.compile(r",\s*(?:--)?([A-Za-z_]\w*)=")
# Skips the import of Beam if only these are given; a template for one model names its class.
_KNOWN = frozenset({THREADS_OPTION, MODEL_CLASS, "experiments", "dataflow_service_options"})


def check_pipeline_options(
    options: Iterable[str],
    declared: Collection[str],
    *,
    python: Path,
    root: Path,
    timeout_sec: float = 120.0,
) -> Iterator[Finding]:
    """Yield the options, ``NAME=VALUE``, that neither Beam nor the template knows. May block.

    Args:
        declared: names of the template's parameters.
        python: the interpreter that has the image's packages.
        root: working directory of the process.
    """
    given = dict(option.removeprefix("--").partition("=")[::2] for option in options)
    joined = {
        match[1]: (name, value, match)
        for name, value in given.items()
        if name not in _LISTS
        for match in _NEXT_OPTION.finditer(value)
    }
    unfamiliar = sorted({*given, *joined} - _KNOWN - set(declared))
    unknown: Mapping[str, str | None] = {}
    if unfamiliar:
        try:
            unknown = run_probe(
                "options", unfamiliar, python=python, root=root, timeout_sec=timeout_sec
            )
        except ProbeError as problem:
            yield warning(
                OPTIONS_UNASKED,
                f"--additional-pipeline-options {', '.join(unfamiliar)}: not checked: {problem}",
                explain_python(python),
            )
            return
    for other, (name, value, match) in joined.items():
        if other in unknown:  # of the value, whatever it means
            continue
        first, second = value[: match.start()], value[match.end() :]
        flag = "--additional-pipeline-options"
        yield error(
            OPTIONS_COMMA,
            f"{flag} {name}={value}: {other!r} is a separate option, and a comma is part of the "
            "value",
            f"Repeat the flag: {shlex.join([flag, f'{name}={first}'])} "
            f"{shlex.join([flag, f'{other}={second}'])}",
        )
    for name, nearest in unknown.items():
        if name not in given:
            continue
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        yield error(
            OPTIONS_UNKNOWN,
            f"--additional-pipeline-options {name}: Beam has no such option and ignores it{hint}",
            "Correct it; pass a parameter of the template with --parameters.",
        )
