"""Copy local files to Cloud Storage, and read the contents of objects.

Uses google-cloud-storage, as ``storage`` does. Every call has a time limit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.errors import InputError
from launcher.google.storage import (
    RETRY_FOR_SEC,
    TIMEOUT_SEC,
    explained,
    find_matches,
    new_client,
    read_object,
)

if TYPE_CHECKING:
    from google.cloud.storage import Client

_THREADS = 8


def plan_uploads(paths: list[Path], destination: str) -> dict[str, Path]:
    """Return the file for each object, by the object's path.

    A destination that ends with a slash is a folder, and must be one for several files.

    Raises:
        InputError: a path is not a file, two have the same name, or the destination is invalid.
    """
    for path in paths:
        if not path.is_file():
            problem = "is a folder: name its files" if path.is_dir() else "no such file"
            raise InputError(f"FILE {str(path)!r}: {problem}")
    if not destination.endswith("/"):
        if len(paths) > 1:
            raise InputError(
                f"DESTINATION {destination!r}: several files need a folder: {destination}/"
            )
        return {destination: paths[0]}
    uploads: dict[str, Path] = {}
    for path in paths:
        first = uploads.setdefault(f"{destination}{path.name}", path)
        if first is not path:
            raise InputError(f"FILE {str(path)!r}: has the same name as {str(first)!r}")
    return uploads


def upload_files(uploads: Mapping[str, Path]) -> None:
    """Write files to objects, several at a time; existing objects are replaced.

    Blocks, and retries transient errors. On the local Dataflow it creates a missing bucket.

    Raises:
        InputError: an object's path is wrong, or its bucket does not exist.
        StorageError: Cloud Storage refused, or could not be reached.
    """
    destination = next(iter(uploads))
    with explained("DESTINATION", destination):
        client = new_client()
        if os.environ.get("STORAGE_EMULATOR_HOST"):
            bucket = destination.removeprefix("gs://").partition("/")[0]
            if client.lookup_bucket(bucket, timeout=TIMEOUT_SEC) is None:
                client.create_bucket(bucket, timeout=TIMEOUT_SEC)
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(lambda item: _upload(client, *item), uploads.items()):
                pass


def _upload(client: Client, gcs_path: str, path: Path) -> None:
    from google.cloud.storage.retry import DEFAULT_RETRY

    bucket, _, name = gcs_path.removeprefix("gs://").partition("/")
    client.bucket(bucket).blob(name).upload_from_filename(
        path, timeout=TIMEOUT_SEC, retry=DEFAULT_RETRY.with_timeout(RETRY_FOR_SEC)
    )


def read_lines(pattern: str) -> Iterator[bytes]:
    """Yield the lines of the objects that a pattern matches, in the order of their names.

    Holds one whole object in memory at a time.

    Raises:
        InputError: nothing matches, or the pattern cannot be read.
        StorageError: Cloud Storage refused, or could not be reached.
    """
    with explained("PATTERN", pattern):
        paths = [f"gs://{blob.bucket.name}/{blob.name}" for blob in find_matches(pattern)]
    if not paths:
        raise InputError(f"PATTERN {pattern!r}: no object matches")
    for path in paths:
        yield from read_object(path, flag="PATTERN").splitlines(keepends=True)
