"""Known failures and their remedies, and the diagnosis of a failed job.

They are dated data in ``failures.json``; more specific ones come first.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from launcher.errors import FormatError
from launcher.finding import CODES
from launcher.google.rest import from_rest
from launcher.jobs.tracebacks import find_exception, leave_out_libraries


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A known way for launches and jobs to fail.

    Attributes:
        title: what happens, in one sentence.
        codes: findings of ``flexpack check`` and of the verification that predict it.
        patterns: regular expressions for the texts that reveal it.
        elsewhere: whether the same launch may succeed in another region or on another GPU.
    """

    id: str
    title: str
    codes: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    cause: str = ""
    remedy: str = ""
    elsewhere: bool = False


@dataclass(frozen=True, kw_only=True)
class Failures:
    """The catalogue, and the day when it was checked."""

    checked: str
    sources: tuple[str, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Diagnosis:
    """The diagnosis of one failed job.

    Attributes:
        failure: None if no pattern matched.
        evidence: the line that matched.
        traceback: the last traceback of the launcher or a worker.
        console_tail: the launcher's last output, if it failed without a traceback.
        console_logs: where the launcher's output was read.
    """

    failure: Failure | None = None
    evidence: str = ""
    traceback: str = ""
    console_tail: str = ""
    console_logs: str | None = None

    def format(self) -> str:
        """Return cause and remedy first, then the evidence; empty if nothing is known."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        where = f" of {self.console_logs}" if self.console_logs else ""
        tail = self.console_tail.splitlines()
        raised = find_exception(self.traceback)
        if self.failure and not self._is_hidden:
            yield f"Cause ({self.failure.id}): {self.failure.cause}"
            yield f"Remedy: {self.failure.remedy}"
            yield f"Seen: {self.evidence}"
        elif raised:
            yield f"Cause: {raised}"
        elif tail:
            yield f"Cause: the launcher ended with: {tail.pop()}"
        if self.traceback:
            yield f"Last traceback{where}:"
            yield from (f"    {line}" for line in leave_out_libraries(self.traceback))
        elif tail:
            yield f"Last lines{where} before:" if self._is_hidden else f"Last lines{where}:"
            yield from (f"    {line}" for line in tail)

    @property
    def _is_hidden(self) -> bool:
        """Whether the service reported only a wrapper, and the launcher's output says more."""
        is_wrapper = self.failure is None or self.failure.id == "launch-error-hidden"
        return is_wrapper and bool(self.console_tail or self.traceback)


@functools.cache
def load_failures() -> Failures:
    """Read ``failures.json``.

    Raises:
        FormatError: a failure names a code of findings that does not exist.
    """
    text = resources.files(__package__).joinpath("failures.json").read_text(encoding="utf-8")
    catalogue = from_rest(Failures, json.loads(text))
    known = {code.name for code in CODES}
    for failure in catalogue.failures:
        if unknown := set(failure.codes) - known:
            raise FormatError(f"{failure.id}: no such codes of findings: {sorted(unknown)}")
    return catalogue
