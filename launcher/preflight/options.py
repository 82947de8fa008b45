"""Checks that Beam knows the pipeline options of a launch; it drops what it does not know."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from launcher.accelerators.gpu_defaults import THREADS_OPTION
from launcher.finding import OPTIONS_UNASKED, OPTIONS_UNKNOWN, Finding, error, warning
from launcher.preflight.probe import ProbeError, explain_python, run_probe

# Spares the import of Beam where nothing else is given.
_KNOWN = frozenset({THREADS_OPTION, "experiments", "dataflow_service_options"})


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
    names = {option.removeprefix("--").partition("=")[0] for option in options}
    unfamiliar = sorted(names - _KNOWN - set(declared))
    if not unfamiliar:
        return
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
    for name, nearest in unknown.items():
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        yield error(
            OPTIONS_UNKNOWN,
            f"--additional-pipeline-options {name}: Beam has no such option and drops it{hint}",
            "Correct it; a parameter of the template goes into --parameters.",
        )
