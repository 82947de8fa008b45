"""The console's calls: JSON over HTTP to the local services, and their refusals.

https://cloud.google.com/dataflow/docs/reference/rest
https://cloud.google.com/storage/docs/json_api
https://cloud.google.com/pubsub/docs/reference/rest
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from launcher.google.storage import GCS_OBJECT

_TIMEOUT_SEC = 20.0
_MOST_PAGES = 50


class ApiRefusal(Exception):  # noqa: N818 - an answer
    """A service refused a call; ``details`` are as in Google's error body."""

    def __init__(
        self, status: int, message: str, details: tuple[Mapping[str, Any], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details


class Unreachable(Exception):  # noqa: N818 - a state
    """A service does not answer or is not running; the message names it."""


@dataclass(frozen=True)
class Endpoints:
    """The root URLs of the services, without a slash at the end; None for one that does not run."""

    dataflow: str
    storage: str
    pubsub: str | None = None
    bigquery: str | None = None


class Apis:
    """The local services; thread-safe. Every call blocks for a few seconds at most.

    Calls raise ApiRefusal and Unreachable.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self._local = threading.local()

    def dataflow(self, method: str, path: str, *, body: object = None, **query: Any) -> Any:
        """Call the Dataflow API or, below ``/emulator/``, the emulator's own."""
        return self._call(method, f"{self.endpoints.dataflow}{path}", "Dataflow", body, query)

    def storage(self, path: str, **query: Any) -> Any:
        url = f"{self.endpoints.storage}/storage/v1/{path}"
        return self._call("GET", url, "Cloud Storage", None, query)

    def pubsub(self, path: str, **query: Any) -> Any:
        if self.endpoints.pubsub is None:
            raise Unreachable("Pub/Sub does not run here: 'flexpack emulator status' says why.")
        return self._call("GET", f"{self.endpoints.pubsub}/v1/{path}", "Pub/Sub", None, query)

    def bigquery(self, path: str, **query: Any) -> Any:
        if self.endpoints.bigquery is None:
            raise Unreachable("There is no local BigQuery, so there are no tables to choose from.")
        url = f"{self.endpoints.bigquery}/bigquery/v2/{path}"
        return self._call("GET", url, "BigQuery", None, query)

    def list_all(self, path: str, key: str = "items", **query: Any) -> Iterator[Any]:
        """Yield a Cloud Storage listing, page by page, up to some ten thousand entries."""
        token = ""
        for _ in range(_MOST_PAGES):
            page = self.storage(path, **query, **({"pageToken": token} if token else {}))
            yield from page.get(key, ())
            token = page.get("nextPageToken", "")
            if not token:
                return

    def read_object(self, location: str, *, limit: int) -> bytes:
        """Return at most the first ``limit`` bytes of the object at ``gs://BUCKET/NAME``."""
        found = GCS_OBJECT.fullmatch(location)
        if found is None:
            raise ApiRefusal(404, f"{location}: not an object in Cloud Storage")
        bucket, _, name = location.removeprefix("gs://").partition("/")
        url = f"{self.endpoints.storage}/storage/v1/b/{quote(bucket, '')}/o/{quote(name, '')}"
        try:
            answer = self._session().get(
                url,
                params={"alt": "media"},
                headers={"Range": f"bytes=0-{limit - 1}", "Accept-Encoding": "gzip"},
                timeout=_TIMEOUT_SEC,
            )
        except requests.RequestException as error:
            raise Unreachable(f"Cloud Storage does not answer: {error}") from error
        if answer.status_code == 416:
            return b""
        if not answer.ok:
            raise ApiRefusal(answer.status_code, answer.text)
        return answer.content

    def create_bucket(self, bucket: str, project: str) -> None:
        url = f"{self.endpoints.storage}/storage/v1/b"
        self._call("POST", url, "Cloud Storage", {"name": bucket}, {"project": project})

    def write_object(self, bucket: str, name: str, content: bytes) -> None:
        """Write an object, replacing what was there."""
        url = f"{self.endpoints.storage}/upload/storage/v1/b/{quote(bucket, '')}/o"
        try:
            answer = self._session().post(
                url,
                params={"uploadType": "media", "name": name},
                data=content,
                headers={"Content-Type": "application/octet-stream"},
                timeout=_TIMEOUT_SEC,
            )
        except requests.RequestException as error:
            raise Unreachable(f"Cloud Storage does not answer: {error}") from error
        if not answer.ok:
            raise ApiRefusal(answer.status_code, answer.text)

    def _call(self, method: str, url: str, service: str, body: object, query: Any) -> Any:
        try:
            answer = self._session().request(
                method, url, params=query, json=body, timeout=_TIMEOUT_SEC
            )
            content = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise Unreachable(f"{service} does not answer: {error}") from error
        if answer.ok:
            return content
        refusal = content.get("error", {}) if isinstance(content, dict) else {}
        raise ApiRefusal(
            answer.status_code,
            str(refusal.get("message", answer.text)),
            tuple(refusal.get("details", ())),
        )

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False  # local programs need no proxy
        return session
