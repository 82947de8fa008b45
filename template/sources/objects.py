"""Cloud Storage objects as streams with few requests: one for a small object.

Beam's own stream first requests an object's metadata, makes a client for every object, fetches the
beginning again after seeking back, and sends another request at the end.
"""

from __future__ import annotations

import io
import os
from functools import lru_cache
from typing import Any

from apache_beam.io.filesystems import FileSystems
from apache_beam.io.gcp.gcsio import create_storage_client, parse_gcs_path
from apache_beam.io.gcp.gcsio_retry import get_retry
from apache_beam.options.pipeline_options import PipelineOptions
from google.api_core.exceptions import RequestRangeNotSatisfiable
from google.cloud.storage import Blob, Client

_EMULATOR = "STORAGE_EMULATOR_HOST"


class ObjectStream(io.BufferedIOBase):
    """Reads an object's stored bytes; a request's bytes are kept until the next.

    All requests read one generation: the given one, or that of the first request. Blocks while it
    waits for the store; Beam's retries decide for how long.

    Args:
        path: ``gs://BUCKET/NAME``.
        start: where the first read begins, which is fetched now; None asks for the size instead.
        window: the fewest bytes that a request fetches.
        generation: the object's; None for the latest.

    Raises:
        Exception: the object does not exist or cannot be read; the client's own types.
    """

    def __init__(
        self, path: str, *, start: int | None, window: int, generation: str | None = None
    ) -> None:
        super().__init__()
        client, self._retry = _connect(path)
        bucket, name = parse_gcs_path(path)
        self._blob: Blob = client.bucket(bucket).blob(
            name, generation=int(generation) if generation else None
        )
        self._window = max(1, window)
        self._position = start or 0
        self._held = memoryview(b"")
        self._held_from = 0
        self._size: int | None = None
        if start is None:
            self._find_size()
        else:
            self._fetch(self._window)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; moving relative to the end requests the size, unless a read has reached the end."""
        if whence == io.SEEK_END:
            offset += self._find_size()
        elif whence == io.SEEK_CUR:
            offset += self._position
        if offset < 0:
            raise ValueError(f"negative seek position {offset}")
        self._position = offset
        return offset

    def read(self, size: int | None = -1) -> bytes:
        """Return ``size`` bytes, or all until the end."""
        if size is None or size < 0:
            size = self._find_size() - self._position
        parts: list[memoryview] = []
        while size > 0 and (part := self._take(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def read1(self, size: int = -1) -> bytes:
        """Return at most one request's bytes."""
        return bytes(self._take(self._window if size < 0 else size))

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, as many bytes as one request brings."""
        view = memoryview(buffer).cast("B")
        part = self._take(len(view))
        view[: len(part)] = part
        return len(part)

    def readinto1(self, buffer: Any) -> int:
        """Read into a buffer, like ``readinto``."""
        return self.readinto(buffer)

    def close(self) -> None:
        """Drop the held bytes."""
        self._held = memoryview(b"")
        super().close()

    def _take(self, size: int) -> memoryview:
        """Return the next bytes, fewer than ``size`` if no more are held; none at the end."""
        if size <= 0 or (self._size is not None and self._position >= self._size):
            return memoryview(b"")
        start = self._position - self._held_from
        if not 0 <= start < len(self._held):
            self._fetch(size)
            start = 0
        part = self._held[start : start + size]
        self._position += len(part)
        return part

    def _fetch(self, size: int) -> None:
        self._held, self._held_from = memoryview(b""), self._position
        wanted = max(size, self._window)
        try:
            found = self._blob.download_as_bytes(
                start=self._position,
                end=self._position + wanted - 1,
                raw_download=True,
                checksum=None,  # would be that of the whole object
                retry=self._retry,
            )
        except RequestRangeNotSatisfiable:  # the end, which may be that of an empty object
            self._size = self._position
            return
        if len(found) > wanted:
            raise OSError(f"Cloud Storage returned {len(found)} bytes of {wanted}")
        if len(found) < wanted:
            self._size = self._position + len(found)
        self._held = memoryview(found)

    def _find_size(self) -> int:
        if self._size is None:
            self._blob.reload(retry=self._retry)
            self._size = int(self._blob.size)
        return self._size


def _connect(path: str) -> tuple[Client, Any]:
    filesystem: Any = FileSystems.get_filesystem(path)
    given = _GivenOptions(filesystem._pipeline_options)
    return _connect_once(given, os.environ.get(_EMULATOR))


class _GivenOptions:
    """The options of the job, equal only to themselves."""

    def __init__(self, options: PipelineOptions | dict[str, Any] | None) -> None:
        self.options = options

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _GivenOptions) and self.options is other.options

    def __hash__(self) -> int:
        return id(self.options)


@lru_cache(maxsize=1)
def _connect_once(given: _GivenOptions, endpoint: str | None) -> tuple[Client, Any]:
    """Return the job's client, one for all objects and threads, and its retry policy.

    A client reads ``endpoint``, the address of an emulator, when it is created.
    """
    options = given.options
    if not isinstance(options, PipelineOptions):
        options = PipelineOptions.from_dictionary(options or {})
    return create_storage_client(options), get_retry(options)
