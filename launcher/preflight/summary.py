"""The table of known failures in launcher/README.md, and the depth at which each is caught."""

from __future__ import annotations

from collections.abc import Iterator

from launcher.finding import CODES, Depth
from launcher.jobs.failures import Failure, load_failures

_TITLES = {
    Depth.STATIC: "`check`",
    Depth.REHEARSAL: "`--rehearse`",
    Depth.LIVE: "`--live`",
    Depth.VERIFY: "verified",
}


def build_checks_table() -> str:
    """Return the table in Markdown, with a sentence that counts its rows."""
    return "\n".join(_lines())


def is_caught(failure: Failure) -> bool:
    """Return whether any check, or the diagnosis, finds a failure."""
    return bool(failure.codes or failure.patterns)


def _lines() -> Iterator[str]:
    catalogue = load_failures()
    caught = [failure for failure in catalogue.failures if is_caught(failure)]
    early = [failure for failure in caught if failure.codes]
    yield (
        f"{len(caught)} of {len(catalogue.failures)} known failures are caught, {len(early)} of "
        f"them before anything is billed or at the job's start (as of {catalogue.checked})."
    )
    yield ""
    titles = [*_TITLES.values(), "diagnosed"]
    yield f"| failure | {' | '.join(titles)} |"
    yield f"|---|{'---|' * len(titles)}"
    depths = {code.name: code.depth for code in CODES}
    for failure in catalogue.failures:
        cells = [
            " ".join(f"`{code}`" for code in failure.codes if depths[code] is depth)
            for depth in _TITLES
        ]
        diagnosed = f"`{failure.id}`" if failure.patterns else ""
        yield f"| {failure.title} | {' | '.join([*cells, diagnosed])} |"
