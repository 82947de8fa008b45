"""What a check returns."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is. An ERROR will fail the launch or the job; a WARNING may."""

    WARNING = "WARNING"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        code: stable name of the kind of finding, for example ``parameter-missing``; documented in
            ``launcher.preflight.codes``.
        message: the flag or field, what is wrong, and what was given.
        remedy: what to do next.
    """

    severity: Severity
    code: str
    message: str
    remedy: str


def error(code: str, message: str, remedy: str) -> Finding:
    """Return a finding that will fail the launch or the job."""
    return Finding(Severity.ERROR, code, message, remedy)


def warning(code: str, message: str, remedy: str) -> Finding:
    """Return a finding that may fail the job, or makes it slow or dear."""
    return Finding(Severity.WARNING, code, message, remedy)


def format_findings(findings: Iterable[Finding]) -> str:
    """Return the findings as text, two lines each: what is wrong, and what to do."""
    return "\n".join(
        f"{finding.severity} {finding.code}: {finding.message}\n    {finding.remedy}"
        for finding in findings
    )


def select_errors(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that will fail the launch or the job."""
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def without_ignored(findings: Iterable[Finding], ignored: Collection[str]) -> list[Finding]:
    """Return the findings but those whose code is ignored, the errors first."""
    kept = [finding for finding in findings if finding.code not in ignored]
    return sorted(kept, key=lambda finding: finding.severity is not Severity.ERROR)
