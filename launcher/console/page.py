"""The input of handlers, a visit, and their outputs: a page, a redirection, a picture or data."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from launcher.console.apis import ApiRefusal, Apis


@dataclass
class Console:
    """The state that outlives a visit: the services, and values that never change. Thread-safe."""

    apis: Apis
    project: str
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _kept: dict[Any, Any] = field(default_factory=dict)

    def list_projects(self, shown: str) -> list[str]:
        """Return the projects that have jobs, and always the console's own and the shown one."""
        found = self.apis.dataflow("GET", "/emulator/jobs")["projects"]
        return sorted({*found, self.project, shown})

    def keep(self, key: Any, value: Any) -> Any:
        """Store a value that never changes, and return it."""
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = value
        return value

    def find_kept(self, key: Any) -> Any | None:
        with self._lock:
            return self._kept.get(key)


_MOST_KEPT = 5000


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A request: parts of its path, its query, its form.

    Attributes:
        is_partial: whether only a part of a page is requested.
        project: the one in the address, otherwise the console's own.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    is_partial: bool
    project: str
    url: str

    @property
    def job_path(self) -> str:
        """The Dataflow API path of the job in the address."""
        region, job_id = self.path["region"], self.path["job_id"]
        if "/" in region + job_id:
            raise ApiRefusal(404, "There is no such job.")
        return f"/v1b3/projects/{self.project}/locations/{region}/jobs/{job_id}"


@dataclass(frozen=True)
class Page:
    """A page template and its values; ``section`` is the navigation's active entry."""

    template: str
    values: Mapping[str, Any]
    section: str = ""
    status: int = 200


@dataclass(frozen=True)
class Redirect:
    """Another page."""

    target: str


@dataclass(frozen=True)
class Picture:
    """A PNG."""

    content: bytes


@dataclass(frozen=True)
class Json:
    """Data for a chart."""

    content: object


Answer: TypeAlias = Page | Redirect | Picture | Json
