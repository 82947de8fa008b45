"""Cloud Storage: buckets, and objects to read.

Uses google-cloud-storage. With STORAGE_EMULATOR_HOST set it talks to that server and looks for no
credentials. Every call has a time limit.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from launcher.errors import ApiError, InputError, NotFound, StorageError, Unreachable
from launcher.google.bucket_names import find_bucket_name_problem
from launcher.google.transport import LOCAL_REMEDY

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Client

TEMPLATE_FLAG = "--template-file-gcs-location"
GCS_OBJECT = re.compile(r"gs://[a-z0-9][-_.a-z0-9]*[a-z0-9]/.+")

TIMEOUT_SEC = (10.0, 60.0)  # to connect, to read
RETRY_FOR_SEC = 20.0
_LOOK_FOR_SEC = 5.0
_ENDPOINT = "https://storage.googleapis.com/"


def read_object(
    gcs_path: str,
    *,
    flag: str = TEMPLATE_FLAG,
    client: Client | None = None,
    retry_for_sec: float = RETRY_FOR_SEC,
) -> bytes:
    """Return an object's content. Blocks, and retries transient errors.

    Args:
        flag: where the path was given, for messages.

    Raises:
        InputError: the path is wrong, or the object does not exist.
        StorageError: Cloud Storage refused, or could not be reached.
    """
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_timeout(retry_for_sec)
    with explained(flag, gcs_path):
        blob = find_blob(gcs_path, client)
        content: bytes = blob.download_as_bytes(timeout=TIMEOUT_SEC, retry=retry)
        return content


def check_bucket(bucket: str, *, flag: str = "--bucket", client: Client | None = None) -> None:
    """Check that a bucket exists. Blocks, and retries transient errors.

    A caller without list permission may still write, so 403 is ignored.

    Args:
        bucket: its name, or the path of a folder in it.
        flag: where it was given, for messages.

    Raises:
        InputError: there is none.
        StorageError: Cloud Storage could not be reached.
    """
    from google.api_core.exceptions import Forbidden
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_timeout(RETRY_FOR_SEC)
    if not GCS_OBJECT.fullmatch(f"gs://{bucket}/templates"):
        raise InputError(f"{flag} {bucket!r}: expected a bucket's name, for example my-bucket")
    with explained(flag, f"gs://{bucket}/templates"):
        name = bucket.partition("/")[0]
        found = (client or new_client()).list_blobs(
            name, max_results=1, timeout=TIMEOUT_SEC, retry=retry
        )
        with suppress(Forbidden):
            next(iter(found), None)


def read_first_match(
    pattern: str, *, limit_bytes: int, client: Client | None = None
) -> tuple[str, bytes]:
    """Return path and content, up to a limit, of the first object that a pattern matches.

    Blocks, and retries transient errors. Patterns are those of Beam's file systems.

    Raises:
        InputError: nothing matches, or the pattern cannot be read.
        StorageError: Cloud Storage refused, or could not be reached.
    """
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_timeout(RETRY_FOR_SEC)
    with explained("input", pattern):
        for blob in find_matches(pattern, client):
            if blob.size:
                content: bytes = blob.download_as_bytes(
                    end=limit_bytes - 1, timeout=TIMEOUT_SEC, retry=retry
                )
                return f"gs://{blob.bucket.name}/{blob.name}", content
    raise InputError(f"input {pattern}: no object matches")


def find_matches(pattern: str, client: Client | None = None) -> Iterator[Blob]:
    """Yield the objects that a pattern of Beam's file systems matches, by name.

    Raises:
        InputError: the pattern cannot be read.
        Exception: what the client raises; see ``explained``.
    """
    from google.cloud.storage.retry import DEFAULT_RETRY

    bucket, _, glob = pattern.removeprefix("gs://").partition("/")
    prefix = re.split(r"[*?\[]", glob)[0]
    try:
        wanted = _compile_glob(glob)
    except re.error as error:
        raise InputError(f"{pattern}: cannot be read as a pattern: {error}") from error
    blobs = (client or new_client()).list_blobs(
        bucket,
        prefix=prefix,
        timeout=TIMEOUT_SEC,
        retry=DEFAULT_RETRY.with_timeout(RETRY_FOR_SEC),
    )
    yield from (blob for blob in blobs if wanted.fullmatch(blob.name))


def _compile_glob(glob: str) -> re.Pattern[str]:
    """Return the expression of Beam's ``FileSystem.translate_pattern``: ``*`` ends at a slash."""
    wildcards = {"**": ".*", "*": r"[^/\\]*", "?": "."}
    parts = re.split(r"(\*\*|\*|\?|\[!?\]?[^]]*\])", glob)
    regex = "".join(
        re.sub(r"^\[!", "[^", part)
        if part.startswith("[") and part.endswith("]")
        else wildcards.get(part) or re.escape(part)
        for part in parts
    )
    return re.compile(regex, re.DOTALL)


def find_blob(gcs_path: str, client: Client | None) -> Blob:
    bucket, _, name = gcs_path.removeprefix("gs://").partition("/")
    return (client or new_client()).bucket(bucket).blob(name)


def new_client() -> Client:
    """Return a client of the server that the environment names, or of Cloud Storage."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    if server := os.environ.get("STORAGE_EMULATOR_HOST"):
        _check_listens(server)
        return storage.Client(project="emulator", credentials=AnonymousCredentials())
    return storage.Client()


def _check_listens(server: str) -> None:
    """Fail at once, without a retry, if a server on this machine has stopped."""
    url = urlsplit(server)
    try:
        address = (url.hostname or "", url.port or 80)
        socket.create_connection(address, timeout=TIMEOUT_SEC[0]).close()
    except ConnectionRefusedError as error:
        raise StorageError(
            f"STORAGE_EMULATOR_HOST {server}: nothing answers there; {LOCAL_REMEDY}"
        ) from error
    except (OSError, ValueError):  # the client will report it
        return


@contextmanager
def explained(flag: str, gcs_path: str) -> Iterator[None]:
    """Turn the libraries' exceptions into the launcher's, with the flag that named the path."""
    if not GCS_OBJECT.fullmatch(gcs_path):
        raise InputError(f"{flag} {gcs_path!r}: expected a Cloud Storage object, gs://BUCKET/PATH")
    from launcher.google.calls import translated

    where = f"{flag} {gcs_path}"
    server = os.environ.get("STORAGE_EMULATOR_HOST", _ENDPOINT)
    try:
        with translated(
            where, service="Cloud Storage", endpoint=server, timeout_sec=TIMEOUT_SEC[1]
        ):
            yield
    except ApiError as error:
        if error.status_code == HTTPStatus.NOT_FOUND:
            bucket = gcs_path.removeprefix("gs://").partition("/")[0]
            if "bucket does not exist" in error.service_message:
                problem = find_bucket_name_problem(bucket)
                remedy = (
                    "correct its name, or create it with "
                    f"'gcloud storage buckets create gs://{bucket}'"
                )
                raise NotFound(
                    f"{where}: there is no bucket {bucket!r}; {problem or remedy}"
                ) from error
            raise NotFound(
                f"{where}: there is no such object; 'flexpack build' writes it"
            ) from error
        if error.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED):
            raise StorageError(
                f"{where}: Cloud Storage refused: {error.service_message}. You need the role "
                "Storage Object User (roles/storage.objectUser) on the bucket"
            ) from error
        raise StorageError(str(error)) from error
    except Unreachable as error:
        raise StorageError(str(error)) from error


def list_object_names(
    bucket: str, prefix: str, *, most: int, client: Client | None = None
) -> list[str] | None:
    """Return the first names of a bucket's objects with a prefix; None without the bucket.

    Blocks for seconds, and retries transient errors.

    Raises:
        StorageError: Cloud Storage refused, or could not be reached.
        CredentialsError: no credentials were found.
    """
    from google.api_core.exceptions import NotFound as NoBucket
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_timeout(_LOOK_FOR_SEC)
    with explained("objects", f"gs://{bucket}/{prefix or '*'}"):
        try:
            found = (client or new_client()).list_blobs(
                bucket, prefix=prefix, max_results=most, timeout=TIMEOUT_SEC, retry=retry
            )
            return [str(blob.name) for blob in found]
        except NoBucket:
            return None


def has_match(pattern: str, *, client: Client | None = None) -> bool:
    """Return whether a pattern matches an object. Blocks as above.

    Raises:
        InputError: the pattern cannot be read.
        StorageError: Cloud Storage refused, or could not be reached.
        CredentialsError: no credentials were found.
    """
    with explained("pattern", pattern):
        return next(find_matches(pattern, client), None) is not None


def list_bucket_names(project: str, *, client: Client | None = None) -> list[str]:
    """Return the names of a project's buckets, the first thousand. Blocks as above.

    Raises:
        StorageError: Cloud Storage refused, or could not be reached.
        CredentialsError: no credentials were found.
    """
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_timeout(_LOOK_FOR_SEC)
    with explained("buckets", f"gs://{project}/*"):
        found = (client or new_client()).list_buckets(
            max_results=1000, project=project, timeout=TIMEOUT_SEC, retry=retry
        )
        return [str(bucket.name) for bucket in found]
