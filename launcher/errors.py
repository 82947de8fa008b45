# ruff: noqa: N818  the names say what happened, like subprocess.TimeoutExpired
"""The exceptions of the launcher, and the exit status that each gives the ``flexpack`` command.

::

    FlexpackError               1
    ├── InputError              2  an argument, or a file that the user gave, is wrong
    │   ├── SpecError           2  a container spec or its metadata cannot be used
    │   └── NotFound            2  the project, bucket, object or job does not exist
    ├── StaleFiles              1  generated files differ from what the code would write
    ├── MissingExtra            1  the packages of an extra are not installed
    ├── CredentialsError        1  no Google credentials were found
    ├── StorageError            1  Cloud Storage refused, or could not be reached
    │   └── SpecConflict        1  the spec changed while it was being written
    ├── ImageError              1  a container image could not be built, pushed or inspected
    ├── FormatError             1  JSON that does not have the shape of its REST schema
    ├── ServiceError            1  Dataflow, or another of Google's APIs
    │   ├── ApiError            1  ... answered with an error
    │   ├── Unreachable         1  ... did not answer
    │   └── LaunchUncertain     1  ... may or may not have created the job
    └── JobError                1  a job did not succeed; carries the job (launcher.jobs.errors)
        ├── JobFailed           1  it failed; carries its last error messages and a diagnosis
        ├── JobCancelled        1  it was cancelled
        ├── JobMismatch         1  it differs from the request
        └── JobTimeout          1  it still runs at the end of the wait

Messages name the flag or field, what was given, and what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

_TRANSIENT = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class FlexpackError(Exception):
    """All exceptions that the launcher raises on purpose."""

    exit_status = 1


class InputError(FlexpackError):
    """An argument, or a file that the user gave, is wrong."""

    exit_status = 2


class SpecError(InputError):
    """A container spec or its metadata cannot be used."""


class NotFound(InputError):
    """A project, bucket, object or job does not exist where the shell points."""


class StaleFiles(FlexpackError):
    """Generated files differ from what the code would write."""


class MissingExtra(FlexpackError):
    """The packages of an extra are not installed."""


class CredentialsError(FlexpackError):
    """No Google credentials were found."""


class StorageError(FlexpackError):
    """Cloud Storage refused a request, or could not be reached."""


class SpecConflict(StorageError):
    """The spec changed in Cloud Storage while it was being written."""


class ImageError(FlexpackError):
    """A container image could not be built, pushed or inspected."""


class FormatError(FlexpackError):
    """JSON that does not have the shape of its REST schema."""


class ServiceError(FlexpackError):
    """A request to Dataflow, or to another of Google's APIs, did not succeed.

    Attributes:
        is_transient: whether the same request may succeed a little later.
    """

    is_transient = False


class ApiError(ServiceError):
    """The service answered with an error.

    Attributes:
        status_code: HTTP status, for example 400.
        status: canonical code, for example ``INVALID_ARGUMENT``; empty if the answer had none.
        service_message: the service's own words.
        details: the ``google.rpc.Status`` details, unchanged.
    """

    def __init__(
        self,
        action: str,
        *,
        service: str = "Dataflow",
        status_code: int,
        status: str = "",
        message: str = "",
        details: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.status_code = status_code
        self.status = status
        self.service_message = message
        self.details = tuple(details)
        # Dataflow was seen to answer 404 for a job that it could not look up in time.
        self.is_transient = status_code in _TRANSIENT or (
            status_code == HTTPStatus.NOT_FOUND and "DEADLINE_EXCEEDED" in message
        )
        code = f"{status_code} {status}".strip()
        super().__init__(f"{action}: {service} answered {code}: {self._explanation()}")

    @property
    def violations(self) -> tuple[tuple[str, str], ...]:
        """The parameters or fields that the service refused, each with its reason."""
        return tuple(
            (violation.get(name, ""), violation.get("description", ""))
            for detail in self.details
            for key, name in (("parameterViolations", "parameter"), ("fieldViolations", "field"))
            for violation in detail.get(key, ())
        )

    def _explanation(self) -> str:
        if not self.violations:
            return self.service_message.strip() or "no explanation"
        # The service repeats the violations after this word, one per line.
        summary = self.service_message.partition("Details:")[0].strip()
        return "\n  ".join([summary, *(f"{name}: {why}" for name, why in self.violations)])


class Unreachable(ServiceError):
    """The service did not answer: no connection, a dropped connection, or no answer in time."""

    is_transient = True


class LaunchUncertain(ServiceError):
    """A launch failed, and it is unknown whether its job exists."""
