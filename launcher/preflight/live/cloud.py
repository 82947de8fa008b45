"""Read-only requests to Google Cloud, with the user's credentials and a time limit each.

google-api-python-client with the discovery documents that it ships: building a request needs no
network.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import requests
from googleapiclient import discovery
from googleapiclient.http import HttpRequest

from launcher.errors import ApiError, CredentialsError, ServiceError
from launcher.finding import LIVE_UNASKED, Finding, warning
from launcher.google.calls import execute
from launcher.google.transport import DEFAULT_ENDPOINT, OneAttemptHttp, open_session

_VERSIONS = {
    "artifactregistry": "v1",
    "cloudresourcemanager": "v3",
    "compute": "v1",
    "iam": "v1",
    "pubsub": "v1",
    "serviceusage": "v1",
    "storage": "v1",
}


class Unanswered(Exception):  # noqa: N818  like subprocess.TimeoutExpired
    """A query got no answer: no permission, no service, or no time left."""


class Missing(Exception):  # noqa: N818
    """The project has no such resource."""


class Cloud:
    """Queries that Google Cloud answers.

    Args:
        endpoint: the server of all APIs, each below its name; default Google's own, with Google's
            default credentials.
        timeout_sec: longest wait for one answer.
        is_of_one_api: whether the endpoint serves one API only, at its root, as Google's emulators
            do.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        timeout_sec: float = 10.0,
        is_of_one_api: bool = False,
    ) -> None:
        self._endpoint = endpoint
        self._is_of_one_api = is_of_one_api
        session = requests.Session() if endpoint else open_session(DEFAULT_ENDPOINT)
        self._http = OneAttemptHttp(session, timeout_sec=timeout_sec)
        self._services: dict[str, Any] = {}

    def ask(self, api: str, question: Callable[[Any], HttpRequest]) -> dict[str, Any]:
        """Send one request and return its answer. Blocks for at most the time limit.

        Raises:
            Missing: the service answers that the resource does not exist.
            Unanswered: it does not answer, or refuses this caller.
        """
        endpoint = self._endpoint or f"https://{api}.googleapis.com/"
        try:
            return execute(
                question(self._open(api)), self._http, action=api, service=api, endpoint=endpoint
            )
        except ApiError as problem:
            if problem.status_code == HTTPStatus.NOT_FOUND:
                raise Missing(problem.service_message) from problem
            raise Unanswered(f"{api}: {problem.status_code} {problem.service_message}") from problem
        except (ServiceError, CredentialsError) as problem:
            raise Unanswered(str(problem)) from problem

    def _open(self, api: str) -> Any:
        if api not in self._services:  # compute's document alone takes a second to read
            folder = "" if self._is_of_one_api else f"{api}/"
            options = {"api_endpoint": f"{self._endpoint}{folder}"} if self._endpoint else {}
            self._services[api] = discovery.build(
                api,
                _VERSIONS[api],
                http=self._http,
                static_discovery=True,
                client_options=options,
            )
        return self._services[api]


def unasked(what: str, problem: Exception) -> Finding:
    """Return the finding for a query without an answer, which may hide a problem."""
    return warning(
        LIVE_UNASKED,
        f"{what}: the query failed: {problem}",
        "Ask somebody who has the permission, or try the launch.",
    )
