"""All refusals of the local storage server, with Google's status, reason and words.

Mirrors https://cloud.google.com/storage/docs/json_api/v1/status-codes

    StorageError                  500
    +-- InvalidRequest            400 invalid
    +-- NotFound                  404 notFound
    +-- Conflict                  409 conflict
    +-- PreconditionFailed        412 conditionNotMet
    +-- NotModified               304 (no body)
    +-- PayloadTooLarge           413 uploadTooLarge
    +-- RangeNotSatisfiable       416 requestedRangeNotSatisfiable
    +-- UploadCancelled           499 (no body)
    +-- NotImplementedHere        501 notImplemented: only the real service can
    StoreInUse                    another process has the folder open; never reaches a client
"""

# ruff: noqa: N818  (Google's own names, as in google.api_core.exceptions)

from typing import Any, ClassVar

_MOST_SHOWN = 200  # characters of a value


class StorageError(Exception):
    """A request that the server refuses; subclasses say why."""

    status: ClassVar[int] = 500
    reason: ClassVar[str] = "backendError"

    def body(self) -> dict[str, Any]:
        """Build Google's JSON error body."""
        detail = {"message": str(self), "domain": "global", "reason": self.reason}
        return {"error": {"code": self.status, "message": str(self), "errors": [detail]}}


class InvalidRequest(StorageError):
    """The request is wrong, whatever the state of the store."""

    status = 400
    reason = "invalid"


class NotFound(StorageError):
    """The bucket, object, generation, upload or path does not exist."""

    status = 404
    reason = "notFound"


class Conflict(StorageError):
    """The state of the bucket forbids the request."""

    status = 409
    reason = "conflict"


class PayloadTooLarge(StorageError):
    """The body of a request without media is too large."""

    status = 413
    reason = "uploadTooLarge"


class PreconditionFailed(StorageError):
    """An `if...Match` parameter did not hold."""

    status = 412
    reason = "conditionNotMet"

    def __init__(self) -> None:
        super().__init__("At least one of the pre-conditions you specified did not hold.")


class NotModified(StorageError):
    """An `if...NotMatch` parameter did not hold for a read."""

    status = 304


class RangeNotSatisfiable(StorageError):
    """A Range header begins at or after the end of the object."""

    status = 416
    reason = "requestedRangeNotSatisfiable"

    def __init__(self, size: int) -> None:
        super().__init__("Request range not satisfiable")
        self.size = size


class UploadCancelled(StorageError):
    """The client deleted its upload session: 499 is the service's answer to success."""

    status = 499


class NotImplementedHere(StorageError):
    """The real service knows this method, parameter or field; the local one does not."""

    status = 501
    reason = "notImplemented"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not implemented by the local storage server.")


class StoreInUse(Exception):
    """Another process, or another ObjectStore of this one, has the folder open."""


def shorten(value: object) -> str:
    """Return a value as messages show it."""
    shown = repr(value)
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."


def no_such_bucket() -> NotFound:
    return NotFound("The specified bucket does not exist.")


def no_such_object(bucket: str, name: str) -> NotFound:
    return NotFound(f"No such object: {bucket}/{name}")


def lost_object(bucket: str, name: str) -> NotFound:
    """The object's file is missing or too short: another program changed the data folder."""
    return NotFound(
        f"The bytes of {bucket}/{name} are lost: its file in the folder of the local storage "
        "server is missing or too short. Upload it again, or delete it."
    )


def bucket_exists() -> Conflict:
    return Conflict(
        "Your previous request to create the named bucket succeeded and you already own it."
    )


def bucket_not_empty() -> Conflict:
    return Conflict("The bucket you tried to delete is not empty.")


def checksum_mismatch(kind: str, provided: str, calculated: str) -> InvalidRequest:
    return InvalidRequest(
        f'Provided {kind} "{provided}" doesn\'t match calculated {kind} "{calculated}".'
    )
