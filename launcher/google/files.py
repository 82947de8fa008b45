"""Copy local files to Cloud Storage, and read the contents of objects.

Uses google-cloud-storage, as ``storage`` does. Every call has a time limit.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.errors import InputError
from launcher.extras import require_extras
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
_PARQUET = b"PAR1"


def plan_uploads(
    paths: list[Path], destination: str, *, is_recursive: bool = False
) -> dict[str, Path]:
    """Return the file for each object, by the object's path.

    A destination that ends with a slash is a folder; several files need a folder. A folder
    keeps its name, and its files keep their places in it; links to files are followed.

    Raises:
        InputError: a path is not a file, nor a folder with files in it if ``is_recursive``; two
            have the same name; or the destination is invalid.
    """
    if not destination.endswith("/") and (len(paths) > 1 or paths[0].is_dir()):
        what = "several files go" if len(paths) > 1 else "a folder goes"
        raise InputError(f"DESTINATION {destination!r}: {what} into a folder: {destination}/")
    uploads: dict[str, Path] = {}
    for path in paths:
        for name, file in _find_files(path, is_recursive=is_recursive):
            target = f"{destination}{name}" if destination.endswith("/") else destination
            first = uploads.setdefault(target, file)
            if first is not file:
                raise InputError(f"FILE {str(file)!r}: has the same name as {str(first)!r}")
    return uploads


def _find_files(path: Path, *, is_recursive: bool) -> list[tuple[str, Path]]:
    """Return the files of a path, each with its name at the destination."""
    if path.is_file():
        return [(path.name, path)]
    if not path.is_dir():
        raise InputError(f"FILE {str(path)!r}: no such file")
    if not is_recursive:
        raise InputError(f"FILE {str(path)!r}: is a folder: copy it with --recursive")
    root = path if path.name not in ("", "..") else path.resolve()  # '.' has no name itself
    files = [file for file in sorted(root.rglob("*")) if file.is_file()]
    if not files:
        raise InputError(f"FILE {str(path)!r}: is a folder without files")
    return [(file.relative_to(root.parent).as_posix(), file) for file in files]


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


def read_lines(pattern: str, *, shows_rows: bool = False) -> Iterator[bytes]:
    """Yield the lines of the objects that a pattern matches, in the order of their names.

    Holds one whole object in memory at a time.

    Args:
        shows_rows: a line of Parquet is a row as JSON, not bytes as they are.

    Raises:
        InputError: nothing matches, or the pattern cannot be read.
        MissingExtra: what reads Parquet is not installed.
        StorageError: Cloud Storage refused, or could not be reached.
    """
    with explained("PATTERN", pattern):
        paths = [f"gs://{blob.bucket.name}/{blob.name}" for blob in find_matches(pattern)]
    if not paths:
        raise InputError(f"PATTERN {pattern!r}: no object matches")
    for path in paths:
        content = read_object(path, flag="PATTERN")
        if shows_rows and content.startswith(_PARQUET):
            yield from _read_rows(content)
        else:
            yield from content.splitlines(keepends=True)


def _read_rows(content: bytes) -> Iterator[bytes]:
    require_extras("storage cat --lines of Parquet", "template")
    import orjson
    import pyarrow.parquet

    for batch in pyarrow.parquet.ParquetFile(io.BytesIO(content)).iter_batches(1000):
        for row in batch.to_pylist():
            yield orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE)
