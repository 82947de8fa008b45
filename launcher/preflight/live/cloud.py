"""Reading questions to Google Cloud, with the user's own credentials and a time limit each.

google-api-python-client with the discovery documents that it ships: building a request asks nobody.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import requests
from google.auth.exceptions import GoogleAuthError
from googleapiclient import discovery
from googleapiclient.errors import HttpError
from googleapiclient.http import HttpRequest

from launcher.finding import LIVE_UNASKED, Finding, warning
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
    """A question has no answer: no permission to ask, no service, no time."""


class Missing(Exception):  # noqa: N818
    """There is no such thing in the project."""


class Cloud:
    """Google Cloud, as far as it can be asked.

    Args:
        endpoint: where all APIs answer, each below its name; default Google's own, asked with
            Google's default credentials.
        timeout_sec: longest wait for one answer.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        timeout_sec: float = 10.0,
    ) -> None:
        self._endpoint = endpoint
        session = requests.Session() if endpoint else open_session(DEFAULT_ENDPOINT)
        self._http = OneAttemptHttp(session, timeout_sec=timeout_sec)
        self._timeout_sec = timeout_sec
        self._services: dict[str, Any] = {}

    def ask(self, api: str, question: Callable[[Any], HttpRequest]) -> dict[str, Any]:
        """Send one request and return its answer. Blocks for at most the time limit.

        Raises:
            Missing: the service answers that there is no such thing.
            Unanswered: it does not answer, or not this caller.
        """
        try:
            answer: dict[str, Any] = question(self._open(api)).execute()
        except HttpError as problem:
            if problem.status_code == 404:
                raise Missing(_reason(problem)) from problem
            raise Unanswered(f"{api}: {problem.status_code} {_reason(problem)}") from problem
        except GoogleAuthError as problem:
            raise Unanswered(f"{api}: {problem}") from problem
        except requests.Timeout as problem:
            raise Unanswered(f"{api}: no answer within {self._timeout_sec:g} s") from problem
        except requests.ConnectionError as problem:
            raise Unanswered(f"{api}: no connection, or one that dropped") from problem
        except requests.RequestException as problem:
            raise Unanswered(f"{api}: no answer: {problem}") from problem
        return answer

    def _open(self, api: str) -> Any:
        if api not in self._services:  # compute's document alone takes a second to read
            options = {"api_endpoint": f"{self._endpoint}{api}/"} if self._endpoint else {}
            self._services[api] = discovery.build(
                api,
                _VERSIONS[api],
                http=self._http,
                static_discovery=True,
                client_options=options,
            )
        return self._services[api]


def unasked(what: str, problem: Exception) -> Finding:
    """Return the finding that a question has no answer: what is not known need not be well."""
    return warning(
        LIVE_UNASKED,
        f"{what}: could not ask: {problem}",
        "Ask somebody who may, or launch and see.",
    )


def _reason(problem: HttpError) -> str:
    try:
        return str(json.loads(problem.content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return str(problem.reason)
