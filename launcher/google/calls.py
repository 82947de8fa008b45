"""Sends one request to a Google API, and translates every error that may result.

Exceptions of the libraries that send requests (googleapiclient, google-cloud-storage) become
``ApiError``, ``Unreachable`` or ``CredentialsError``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from googleapiclient.errors import HttpError
from googleapiclient.http import HttpRequest

from launcher.errors import ApiError, CredentialsError, Unreachable
from launcher.google.transport import LOCAL_REMEDY, NO_CREDENTIALS, OneAttemptHttp, is_loopback


def execute(
    call: HttpRequest, http: OneAttemptHttp, *, action: str, service: str, endpoint: str
) -> dict[str, Any]:
    """Send a request once and return its answer. Blocks for at most the time limit of ``http``.

    Args:
        action: what the request does, for messages.
        service: the service's name, for messages.

    Raises:
        ApiError: the service answered with an error.
        Unreachable: it did not answer, or not with JSON.
        CredentialsError: the credentials are no longer valid.
    """
    with translated(action, service=service, endpoint=endpoint, timeout_sec=http.timeout_sec):
        answer = call.execute(http=http)
    if not isinstance(answer, dict):  # googleapiclient returns what is not JSON as text
        raise Unreachable(f"{action}: {endpoint} answered with {answer!r:.80}, not JSON")
    return answer


@contextmanager
def translated(action: str, *, service: str, endpoint: str, timeout_sec: float) -> Iterator[None]:
    """Turn the exceptions of Google's libraries and of requests into the launcher's."""
    from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError

    try:
        yield
    except HttpError as error:
        raise _read_error_body(action, service, error) from error
    except GoogleAPICallError as error:
        if not isinstance(error.code, int):
            raise Unreachable(f"{action}: no answer from {endpoint}: {error}") from error
        raise ApiError(
            action, service=service, status_code=int(error.code), message=error.message or ""
        ) from error
    except DefaultCredentialsError as error:
        raise CredentialsError(NO_CREDENTIALS) from error
    except (GoogleAPIError, GoogleAuthError, requests.RequestException) as error:
        # A retry that gave up carries the last error.
        cause = getattr(error, "cause", None) or error
        raise _explain(cause, action, endpoint, timeout_sec) from error


def _explain(
    cause: Exception, action: str, endpoint: str, timeout_sec: float
) -> Unreachable | CredentialsError:
    if isinstance(cause, GoogleAuthError):
        if cause.retryable or isinstance(cause, TransportError):
            # A token is fetched every hour, and its server may be briefly unreachable.
            return Unreachable(f"{action}: could not fetch an access token: {cause}")
        return CredentialsError(
            f"{action}: {cause}\nLog in again: 'gcloud auth application-default login'"
        )
    if isinstance(cause, requests.Timeout):
        return Unreachable(f"{action}: no answer from {endpoint} within {timeout_sec:g} s")
    if isinstance(cause, requests.ConnectionError):
        remedy = LOCAL_REMEDY if is_loopback(endpoint) else "look at your network"
        return Unreachable(
            f"{action}: no connection to {endpoint}, or the connection dropped; {remedy}"
        )
    return Unreachable(f"{action}: no answer from {endpoint}: {cause}")


def _read_error_body(action: str, service: str, error: HttpError) -> ApiError:
    """Read Google's error body, or the first line of a proxy's page."""
    text = error.content.decode(errors="replace")
    try:
        body = json.loads(text)["error"]
        return ApiError(
            action,
            service=service,
            status_code=error.status_code,
            status=body.get("status", ""),
            message=body.get("message", ""),
            details=body.get("details", ()),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        message = text.strip().partition("\n")[0][:200] or error.reason
        return ApiError(action, service=service, status_code=error.status_code, message=message)
