"""The version of a file: its generation in Cloud Storage, or its checksum elsewhere.

Beam's filesystems know only size and time; two versions of an object can agree in both.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass, replace
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from template.files import list_folder

_GCS = "gs://"
_GCS_PATH = re.compile(r"gs://(?P<bucket>[^/]+)/(?P<name>.*)", re.DOTALL)
_WILDCARD = re.compile(r"[*?\[]")
_CHUNK_BYTES = 8 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FileVersion:
    """A file at one time.

    Attributes:
        path: ``gs://...`` or local.
        size: the stored size, in bytes.
        generation: the object's in Cloud Storage; elsewhere the time when it was written, in
            seconds since 1970.
        sha256: of the contents, if computed.
    """

    path: str
    size: int
    generation: str
    sha256: str | None = None


def match_files(pattern: str) -> list[FileVersion]:
    """Return the files that match a pattern of Beam's, by path; blocks while it lists them.

    Raises:
        Exception: the place cannot be listed; each filesystem raises its own type.
    """
    if pattern.startswith(_GCS):
        found = _match_objects(pattern)
    else:
        here = "" if "/" in pattern else "./"  # without it Beam finds nothing for a wildcard
        found = [
            FileVersion(
                path=file.path.removeprefix(here),
                size=file.size_in_bytes,
                generation=f"{file.last_updated_in_seconds:.6f}",
            )
            for file in FileSystems.match([here + pattern])[0].metadata_list
        ]
    return sorted(found, key=lambda file: file.path)


def find_version(path: str) -> FileVersion | None:
    """Return the version of a file or folder, with the checksum of what is not in Cloud Storage.

    A folder's size is the total of its files, its generation is their newest, and its checksum
    is that of a list with each file's path and its checksum or generation. None if
    the file does not exist; the caller reports it if necessary.
    """
    if _WILDCARD.search(path):
        return None
    try:
        names = list_folder(path)
        files = [_find_file_version(each) for each in (names.values() or [path])]
    except Exception as error:  # each filesystem raises its own exceptions
        _log.warning("no version of %s is known: %s", path, error)
        return None
    known = [file for file in files if file is not None]
    if not names or len(known) < len(files):
        return known[0] if known and not names else None
    lines = [
        f"{name}\t{file.sha256 or file.generation}\n"
        for name, file in zip(names, known, strict=True)
    ]
    return FileVersion(
        path=path,
        size=sum(file.size for file in known),
        generation=max((file.generation for file in known), key=float),
        sha256=hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest(),
    )


def _find_file_version(path: str) -> FileVersion | None:
    files = match_files(path)
    if not files or path.startswith(_GCS):
        return files[0] if files else None
    digest = hashlib.sha256()
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return replace(files[0], sha256=digest.hexdigest())


def _match_objects(pattern: str) -> list[FileVersion]:
    """Match like ``GCSFileSystem``, in one listing with generations."""
    filesystem: Any = FileSystems.get_filesystem(pattern)
    if pattern.endswith("/"):
        pattern += "*"
    match = _GCS_PATH.fullmatch(pattern)
    if match is None:
        raise ValueError(f"{pattern!r} is not gs://BUCKET/NAME")
    client = filesystem._gcsIO().client  # the job's own credentials and endpoint
    bucket = client.bucket(match["bucket"])
    prefix = _WILDCARD.split(match["name"], maxsplit=1)[0]
    if prefix == match["name"]:
        blob = bucket.get_blob(prefix)
        blobs = [] if blob is None else [blob]
    else:
        fields = "items(name,size,generation),nextPageToken"
        blobs = client.list_blobs(bucket, prefix=prefix, fields=fields)
    matches = re.compile(filesystem.translate_pattern(pattern)).match
    found = (
        FileVersion(
            path=f"{_GCS}{bucket.name}/{blob.name}",
            size=blob.size or 0,
            generation=str(blob.generation),
        )
        for blob in blobs
    )
    return [file for file in found if prefix == match["name"] or matches(file.path)]
