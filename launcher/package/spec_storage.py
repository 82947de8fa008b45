"""Container specs in Cloud Storage: writing one, and reading one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from launcher.errors import InputError, SpecConflict
from launcher.google.storage import (
    RETRY_FOR_SEC,
    TEMPLATE_FLAG,
    TIMEOUT_SEC,
    explained,
    find_blob,
    read_object,
)
from launcher.package.spec import ContainerSpec, format_spec, read_spec

if TYPE_CHECKING:
    from google.cloud.storage import Client


def upload_spec(
    spec: ContainerSpec,
    template_file_gcs_path: str,
    *,
    client: Client | None = None,
    retry_for_sec: float = RETRY_FOR_SEC,
) -> int:
    """Write a spec and return the generation of its object.

    Blocks, and retries transient errors. The spec replaces only the generation that exists when the
    call begins: a concurrent writer is reported, never overwritten.

    Raises:
        InputError: the path is wrong or its bucket does not exist.
        SpecConflict: somebody else wrote the object at the same time.
        StorageError: Cloud Storage refused, or could not be reached.
    """
    from google.api_core.exceptions import PreconditionFailed
    from google.cloud.storage.retry import DEFAULT_RETRY

    data = format_spec(spec).encode()
    retry = DEFAULT_RETRY.with_timeout(retry_for_sec)
    with explained("TEMPLATE_FILE_GCS_PATH", template_file_gcs_path):
        blob = find_blob(template_file_gcs_path, client)
        current = blob.bucket.get_blob(blob.name, timeout=TIMEOUT_SEC, retry=retry)
        try:
            blob.upload_from_string(
                data,
                content_type="application/json",
                if_generation_match=current.generation if current else 0,
                timeout=TIMEOUT_SEC,
                retry=retry,
            )
        except PreconditionFailed as error:
            # A retried write whose first answer was lost finds that the spec is already written.
            if blob.download_as_bytes(timeout=TIMEOUT_SEC, retry=retry) != data:
                raise SpecConflict(
                    f"TEMPLATE_FILE_GCS_PATH {template_file_gcs_path}: the object changed while it "
                    "was being written, and was not replaced; look at it, then build again"
                ) from error
        return int(blob.generation)


def download_spec(
    template_file_gcs_location: str,
    *,
    client: Client | None = None,
    retry_for_sec: float = RETRY_FOR_SEC,
) -> ContainerSpec:
    """Read a spec. Blocks, and retries transient errors.

    Raises:
        InputError: the path is wrong, or the object does not exist.
        SpecError: the object is not a container spec.
        StorageError: Cloud Storage refused, or could not be reached.
    """
    text = read_object(template_file_gcs_location, client=client, retry_for_sec=retry_for_sec)
    return read_spec(text, template_file_gcs_location)


def read_spec_text(location: str) -> bytes:
    """Return a spec's text from Cloud Storage or from a local file.

    Raises:
        InputError: there is none.
        StorageError: Cloud Storage refused, or could not be reached.
    """
    if location.startswith("gs://"):
        return read_object(location)
    try:
        return Path(location).read_bytes()
    except OSError as problem:
        raise InputError(
            f"{TEMPLATE_FLAG} {location}: {problem.strerror}; expected "
            "gs://BUCKET/PATH.json, or a file on this machine"
        ) from problem
