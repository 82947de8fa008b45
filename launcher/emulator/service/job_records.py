"""The records of jobs, of their messages, and of queries for lists.

Mirrors the ``Job`` message: https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.jobs
Does not store anything; ``job_store`` does.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from launcher.emulator.runtime.events import Importance
from launcher.emulator.runtime.states import JobState

_LEAST_NUMBER = 10**14  # The service's numbers have 15 to 20 digits, and no zeros before them.
_PACIFIC = ZoneInfo("America/Los_Angeles")  # Dataflow's job ids carry this clock.

LAUNCH = "launchParameter"
"""Where a document keeps the ``LaunchFlexTemplateParameter`` of its launch; no view shows it."""


class UnknownJobError(LookupError):
    """No job has this id."""


class ActiveNameError(ValueError):
    """The project and region already have an active job of this name."""


class PageTokenError(ValueError):
    """A page token is not from this store."""


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """One job. Times are RFC 3339 in UTC, of one width, so that they compare as text.

    ``document`` holds the other fields of the ``Job`` message: type, labels, environment, steps.
    """

    id: str
    project_id: str
    region: str
    name: str
    state: JobState
    state_time: str
    create_time: str
    document: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Message:
    """One job message; ``seq`` orders all messages."""

    seq: int
    time: str
    importance: Importance
    text: str


@dataclass(frozen=True, kw_only=True)
class TimeRange:
    """From ``start`` (inclusive) to ``end`` (exclusive); an empty string means no limit."""

    start: str = ""
    end: str = ""


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs to list; None for ``region`` or ``name`` takes all.

    Attributes:
        by_id: in descending order of ids, instead of active ones first.
    """

    project_id: str
    region: str | None = None
    name: str | None = None
    terminal: bool | None = None
    by_id: bool = False
    created: TimeRange = TimeRange()
    terminated: TimeRange = TimeRange()


def format_time(moment: datetime) -> str:
    """Return a time as records write it: RFC 3339, UTC, microseconds always."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> str:
    """Return any RFC 3339 time as records write it; the empty string stays empty."""
    return format_time(datetime.fromisoformat(text)) if text else ""


def new_job_id(now: datetime) -> str:
    """Return an id in Dataflow's form: the Pacific time and a number."""
    local = now.astimezone(_PACIFIC)
    return f"{local:%Y-%m-%d_%H_%M_%S}-{_LEAST_NUMBER + secrets.randbits(63)}"
