"""Whether a batch run is a success, judged by its rows when everything is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

SHOWN_REASONS = 3


class RunFailedError(RuntimeError):
    """Too few rows of the run were predicted; the message says how many, and why."""


@dataclass(frozen=True, kw_only=True)
class RunCounts:
    """Rows of a run; ``rows_read = predictions + dead_letters``.

    ``reasons`` are those of the dead letters with their counts, the most frequent first; rare ones
    may be left out. ``unread_files`` are dead letters too, and count as one row each.
    """

    predictions: int
    dead_letters: int
    unread_files: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows_read(self) -> int:
        """All rows."""
        return self.predictions + self.dead_letters


def judge(counts: RunCounts, max_dead_letter_share: float | None) -> str | None:
    """Return why a run failed; None if it did not. No rows at all are a success.

    Args:
        counts: the rows of the run.
        max_dead_letter_share: how many of them, from 0 to 1, may be dead letters; None: all but
            one.
    """
    if not counts.dead_letters:
        return None
    if max_dead_letter_share is None:
        if counts.predictions:
            return None
        problem = f"none of the {counts.rows_read:,} rows read was predicted"
    else:
        share = counts.dead_letters / counts.rows_read
        if share <= max_dead_letter_share:
            return None
        problem = (
            f"{counts.dead_letters:,} of the {counts.rows_read:,} rows read are dead letters, a "
            f"share of {share:.4g}, but max_dead_letter_share is {max_dead_letter_share:g}"
        )
    if counts.unread_files:
        problem += f"; {counts.unread_files:,} of them are files that could not be read at all"
    return f"{problem}. Most frequent reasons: {describe_reasons(counts)}"


def find_verdict(error: RuntimeError) -> str | None:
    """Return the verdict if a runner's exception is one, or has its text; else None."""
    text = f"{type(error).__name__}: {error}"
    match = re.search(rf"{RunFailedError.__name__}: (.*?)(?: \[while running '.*)?$", text, re.M)
    return match[1] if match else None


def describe_reasons(counts: RunCounts) -> str:
    """Return the first lines of the most frequent reasons in one line."""
    return "; ".join(
        f"{count:,} x {reason.partition(chr(10))[0]}"
        for reason, count in islice(counts.reasons.items(), SHOWN_REASONS)
    )
