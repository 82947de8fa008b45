"""Every error response of the local Dataflow, in Google's envelope and the service's words.

Each error has one constructor. Mirrors ``google.rpc.Status`` as Google APIs write it over HTTP:
https://cloud.google.com/apis/design/errors#http_mapping
Texts are the service's own if they were observed; if not, the constructor says so.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_VIOLATIONS = 100
"""The most violations that an answer lists; UNCONFIRMED: the service's own limit."""

_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_INVALID_TEMPLATE_PARAMETERS = (
    "type.googleapis.com/google.dataflow.v1beta3.InvalidTemplateParameters"
)


@dataclass(frozen=True)
class FieldViolation:
    """One field of a request that does not fit its schema (``BadRequest.FieldViolation``)."""

    field: str
    description: str


@dataclass(frozen=True)
class ParameterViolation:
    """One template parameter that is refused."""

    parameter: str
    description: str


class ApiError(Exception):
    """An answer other than success: HTTP code, canonical status, message and details."""

    def __init__(
        self, code: int, status: str, message: str, details: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.details = tuple(details)

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the answer."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "status": self.status,
        }
        if self.details:
            error["details"] = list(self.details)
        return {"error": error}


def _traced(message: str) -> str:
    """Prefix the id that Dataflow prints before most of its messages."""
    return f"({secrets.token_hex(8)}): {message}"


def invalid_argument(message: str) -> ApiError:
    return ApiError(400, "INVALID_ARGUMENT", message)


def invalid_request(violations: Iterable[FieldViolation]) -> ApiError:
    """The request does not fit the API's schema."""
    found = list(violations)
    return ApiError(
        400,
        "INVALID_ARGUMENT",
        "\n".join(violation.description for violation in found),
        [
            {
                "@type": _BAD_REQUEST,
                "fieldViolations": [
                    {"field": violation.field, "description": violation.description}
                    if violation.field
                    else {"description": violation.description}
                    for violation in found
                ],
            }
        ],
    )


def invalid_template_parameters(violations: Iterable[ParameterViolation]) -> ApiError:
    """Parameters that the template's metadata refuses, all at once."""
    found = list(violations)
    lines = "".join(f"\n{item.parameter}: {item.description}" for item in found)
    return ApiError(
        400,
        "INVALID_ARGUMENT",
        # The space before the line break is the service's.
        f"The template parameters are invalid. Details: {lines}",
        [
            {
                "@type": _INVALID_TEMPLATE_PARAMETERS,
                "parameterViolations": [
                    {"parameter": item.parameter, "description": item.description} for item in found
                ],
            }
        ],
    )


def invalid_job_name() -> ApiError:
    return invalid_argument(
        "JobName invalid; the name must consist of only the characters [-a-z0-9], starting with "
        "a letter and ending with a letter or number"
    )


def template_file_unreadable(path: str) -> ApiError:
    # The text was observed; its HTTP status is UNCONFIRMED.
    return ApiError(404, "NOT_FOUND", _traced(f"Unable to open template file: {path}."))


def template_file_malformed(path: str, problem: str) -> ApiError:
    # The first sentence was observed; the rest is ours.
    return invalid_argument(f"Invalid template file {path}. {problem}")


def sdk_language_missing() -> ApiError:
    return invalid_argument("No SDK language information is provided.")


def active_job_name(name: str) -> ApiError:
    return ApiError(
        409,
        "ALREADY_EXISTS",
        _traced(
            f"There is already an active job named {name}. If you want to submit a second job, "
            "try again by setting a different name."
        ),
    )


def job_not_found(job_id: str) -> ApiError:
    return ApiError(
        404,
        "NOT_FOUND",
        _traced(
            f"Information about job {job_id} could not be found in our system. Please double "
            "check the id is correct. If it is please contact customer support."
        ),
    )


def job_terminated(operation: str, job_id: str, state: str) -> ApiError:
    # "Job has terminated in state" is what clients look for; the rest is UNCONFIRMED.
    word = "SUCCESS" if state == "JOB_STATE_DONE" else state.removeprefix("JOB_STATE_")
    return ApiError(
        400,
        "FAILED_PRECONDITION",
        _traced(
            f"Workflow modification failed. Causes: Operation {operation} not allowed for job "
            f"{job_id}. Job has terminated in state {word}."
        ),
    )


def drain_not_allowed(job_id: str) -> ApiError:
    # Only streaming jobs can be drained; the wording is UNCONFIRMED.
    return ApiError(
        400,
        "FAILED_PRECONDITION",
        _traced(
            f"Workflow modification failed. Causes: Operation drain not allowed for job {job_id}. "
            "Draining is supported for streaming jobs only; cancel a batch job instead."
        ),
    )


def state_and_mask() -> ApiError:
    return invalid_argument("Cannot update both state and mask.")


def transition_not_allowed(job_id: str, state: str, requested: str) -> ApiError:
    # UNCONFIRMED wording.
    return ApiError(
        400,
        "FAILED_PRECONDITION",
        _traced(
            f"Workflow modification failed. Causes: job {job_id} is in state {state} and cannot "
            f"be requested to go to {requested}."
        ),
    )


def unimplemented(method_id: str, what: str = "") -> ApiError:
    """The local Dataflow does not implement this."""
    subject = f"{method_id}: {what}" if what else method_id
    return ApiError(501, "UNIMPLEMENTED", f"{subject} is not implemented by the local Dataflow.")


def url_not_found(path: str) -> ApiError:
    return ApiError(404, "NOT_FOUND", f"The requested URL {path} was not found on this server.")


def method_not_allowed(http_method: str, path: str) -> ApiError:
    return ApiError(
        405, "INVALID_ARGUMENT", f"The request method {http_method} is inappropriate for {path}."
    )


def permission_denied(message: str) -> ApiError:
    return ApiError(403, "PERMISSION_DENIED", message)


def payload_too_large(limit: int) -> ApiError:
    return ApiError(
        413,
        "INVALID_ARGUMENT",
        f"Request payload size exceeds the limit: {limit} bytes.",
    )


def too_many_requests() -> ApiError:
    # In the words of Google's quota service; on Dataflow the metric is a project's requests per
    # minute.
    return ApiError(
        429,
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute per user' of "
        "service 'dataflow.googleapis.com'.",
    )


def metadata_unreadable() -> ApiError:
    # As recorded in 2026 for jobs that were about to run; the path is made up.
    return ApiError(
        404,
        "NOT_FOUND",
        _traced(
            'Calling GetObjectMetadata with file "/bigstore/bucket/staging/pipeline.pb": '
            "RPC::DEADLINE_EXCEEDED: deadline exceeded"
        ),
    )


def not_ready_for_canceling() -> ApiError:
    # "not yet ready for canceling" is what clients look for; the rest is UNCONFIRMED.
    return ApiError(
        400,
        "FAILED_PRECONDITION",
        _traced("The job is not yet ready for canceling. Please retry in a few minutes."),
    )


def unavailable() -> ApiError:
    return ApiError(503, "UNAVAILABLE", "The service is currently unavailable.")


def internal(error: Exception) -> ApiError:
    """The local Dataflow itself failed: a full disk, or a bug."""
    return ApiError(
        500,
        "INTERNAL",
        f"The local Dataflow failed on this request: {type(error).__name__}: {error}. "
        "See its emulator.log for more.",
    )
