"""Sends requests to Dataflow: endpoint, credentials, time limits, one attempt per request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import google.auth
import google.auth.transport.requests
import httplib2
import requests
from google.auth.exceptions import DefaultCredentialsError

from launcher.errors import CredentialsError

DEFAULT_ENDPOINT = "https://dataflow.googleapis.com/"

NO_CREDENTIALS = (
    "no Google credentials: run 'gcloud auth application-default login', or for the local "
    'Dataflow eval "$(flexpack emulator env)"'
)

LOCAL_REMEDY = (
    "start the local Dataflow again, 'flexpack emulator start --detach', or for Google Cloud use a "
    "shell without the variables of 'flexpack emulator env'"
)

_ENDPOINT_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_CONNECT_TIMEOUT_SEC = 10.0


def find_endpoint() -> str:
    """Return the endpoint that gcloud would use: the overriding variable's, or Google's."""
    return os.environ.get(_ENDPOINT_VARIABLE) or DEFAULT_ENDPOINT


def is_google(endpoint: str) -> bool:
    """Return whether an endpoint is Google's, perhaps a project's own."""
    url = urlsplit(endpoint)
    host = url.hostname or ""
    return url.scheme == "https" and host.endswith(".googleapis.com")


def is_loopback(endpoint: str) -> bool:
    """Return whether an endpoint is on this machine."""
    return urlsplit(endpoint).hostname in ("localhost", "127.0.0.1", "::1")


def open_session(endpoint: str) -> requests.Session:
    """Return a session for the endpoint; only Google's gets credentials.

    Raises:
        CredentialsError: the endpoint is Google's, and there are no credentials.
    """
    return open_google_session() if is_google(endpoint) else requests.Session()


def open_google_session() -> requests.Session:
    """Return a session with the caller's credentials.

    Raises:
        CredentialsError: there are none.
    """
    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except DefaultCredentialsError as error:
        raise CredentialsError(NO_CREDENTIALS) from error
    session: requests.Session = google.auth.transport.requests.AuthorizedSession(credentials)
    return session


class OneAttemptHttp:
    """The ``http`` object that googleapiclient expects, sending every request at most once.

    Its default, httplib2, silently repeats a request whose connection drops before the answer,
    even a POST, which here would launch a job twice.
    """

    def __init__(self, session: requests.Session, *, timeout_sec: float) -> None:
        self._session = session
        self.timeout_sec = timeout_sec
        self._timeout = (min(_CONNECT_TIMEOUT_SEC, timeout_sec), timeout_sec)

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> tuple[httplib2.Response, bytes]:
        """Send one request and return its answer, whatever its status.

        Raises:
            requests.RequestException: there was no answer.
        """
        answer = self._session.request(
            method,
            uri,
            data=body,
            headers=dict(headers or {}),
            timeout=self._timeout,
            allow_redirects=False,
        )
        response = httplib2.Response({**answer.headers, "status": str(answer.status_code)})
        response.reason = answer.reason
        return response, answer.content

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
