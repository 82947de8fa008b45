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
        verdict: what the template says of a run whose rows failed; the traceback is then that of
            the most frequent reason.
        message: the service's last error message.
    """

    failure: Failure | None = None
    evidence: str = ""
    traceback: str = ""
    console_tail: str = ""
    console_logs: str | None = None
    verdict: str = ""
    message: str = ""

    @property
    def title(self) -> str:
        """What happened, in a few words."""
        if self._is_known:
            assert self.failure is not None
            return self.failure.title
        return "The launch failed" if self.console_tail else "The job failed"

    @property
    def cause(self) -> str:
        """The cause, in one or more lines; empty if nothing is known."""
        if self._is_known:
            assert self.failure is not None
            return self.failure.cause
        tail = self.console_tail.splitlines()
        return (
            self.verdict
            or find_exception(self.traceback)
            or (f"the launcher ended with: {tail[-1]}" if tail else self.message)
        )

    @property
    def remedy(self) -> str:
        """What to change, if the failure is a known one."""
        return self.failure.remedy if self.failure and self._is_known else ""

    @property
    def shown_traceback(self) -> str:
        """The traceback without the frames of libraries and the kit."""
        return leave_out_libraries(self.traceback)

    def format(self) -> str:
        """Return cause and remedy first, then the evidence; empty if nothing is known."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        where = f" of {self.console_logs}" if self.console_logs else ""
        if self.failure and self._is_known:
            yield f"Cause ({self.failure.id}): {self.cause}"
            yield f"Remedy: {self.remedy}"
            yield f"Seen: {self.evidence}"
        elif self.cause:
            yield f"Cause: {self.cause}"
        tail = self.console_tail.splitlines()
        if self.traceback:
            yield f"Last traceback{where}:"
            yield from (f"    {line}" for line in self.shown_traceback.splitlines())
        elif tail and not self._is_known:
            if tail[:-1]:
                yield f"Last lines{where} before:"
                yield from (f"    {line}" for line in tail[:-1])
        elif tail:
            yield f"Last lines{where}:"
            yield from (f"    {line}" for line in tail)

    @property
    def _is_known(self) -> bool:
        """Whether the failure is a known one, and not only the service's wrapper of another."""
        return self.failure is not None and not self._is_hidden

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
