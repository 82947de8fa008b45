"""Job records: what the local Dataflow knows about a job, its messages, and what to list.

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

_PACIFIC = ZoneInfo("America/Los_Angeles")  # Dataflow's job ids carry this clock.

LAUNCH = "launchParameter"
"""Where a document keeps the ``LaunchFlexTemplateParameter`` of its launch; no view shows it."""

# What a view leaves out of the stored job. JOB_VIEW_UNKNOWN promises the summary "and may contain
# additional information"; clients read the environment from it.
_ONLY_IN_FULL_VIEW = ("steps", "stepsLocation", "pipelineDescription")
_NOT_IN_SUMMARY = (*_ONLY_IN_FULL_VIEW, "environment", "tempFiles", "clientRequestId")


class UnknownJobError(LookupError):
    """There is no job of that id."""


class ActiveNameError(ValueError):
    """The project and region already have an active job of that name."""


class PageTokenError(ValueError):
    """A page token is not one that this store gave out."""


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

    def to_json(self, view: str = "JOB_VIEW_UNKNOWN") -> dict[str, Any]:
        """Return the ``Job`` message as that view shows it."""
        if view == "JOB_VIEW_ALL":
            hidden: tuple[str, ...] = (LAUNCH,)
        elif view == "JOB_VIEW_SUMMARY":
            hidden = (*_NOT_IN_SUMMARY, LAUNCH)
        else:
            hidden = (*_ONLY_IN_FULL_VIEW, LAUNCH)
        job = {name: value for name, value in self.document.items() if name not in hidden}
        agent = self.document.get("environment", {}).get("userAgent", {})
        if "version" in agent:
            version = {"version": agent["version"], "versionDisplayName": agent.get("name", "")}
            job["jobMetadata"] = {"sdkVersion": version}
        return job | {
            "id": self.id,
            "projectId": self.project_id,
            "location": self.region,
            "name": self.name,
            "currentState": self.state.value,
            "currentStateTime": self.state_time,
            "createTime": self.create_time,
            "startTime": self.create_time,
        }


@dataclass(frozen=True, kw_only=True)
class Message:
    """One job message; ``seq`` orders all messages."""

    seq: int
    time: str
    importance: Importance
    text: str


@dataclass(frozen=True, kw_only=True)
class TimeRange:
    """From ``start`` (included) to ``end`` (excluded); the empty string leaves a side open."""

    start: str = ""
    end: str = ""


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs to list; ``region`` and ``name`` None take all."""

    project_id: str
    region: str | None = None
    name: str | None = None
    terminal: bool | None = None
    created: TimeRange = TimeRange()
    terminated: TimeRange = TimeRange()


def format_time(moment: datetime) -> str:
    """Return a time as records write it: RFC 3339, UTC, microseconds always."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> str:
    """Return any RFC 3339 time as records write it; the empty string stays empty."""
    return format_time(datetime.fromisoformat(text)) if text else ""


def new_job_id(now: datetime) -> str:
    """Return an id as Dataflow forms them: the Pacific time and a number."""
    local = now.astimezone(_PACIFIC)
    return f"{local:%Y-%m-%d_%H_%M_%S}-{secrets.randbelow(10**19):019d}"
