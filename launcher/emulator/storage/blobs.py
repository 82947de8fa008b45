"""The bytes of objects: immutable files under generated ids in one folder.

A blob does not belong to an object until the store commits a row that names it; a blob that no
row names is garbage, which is deleted when the store is next opened. So nothing here needs to be
atomic.
"""

import base64
import hashlib
import uuid
from pathlib import Path
from typing import Self

import google_crc32c


class BlobWriter:
    """Appends to one new blob and keeps its size and checksums; used by one thread at a time.

    It holds no open file between calls, so any number of uploads may be in progress. As a
    context manager it discards the blob when an error leaves the block.
    """

    def __init__(self, folder: Path) -> None:
        self.blob_id = uuid.uuid4().hex
        self.size = 0
        self._path = folder / self.blob_id
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c = 0
        self._path.touch()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.discard()

    @property
    def md5_hash(self) -> str:
        """Base64 MD5 of the bytes written so far."""
        return base64.b64encode(self._md5.digest()).decode()

    @property
    def crc32c(self) -> str:
        """Base64 big-endian CRC32C of the bytes written so far."""
        return base64.b64encode(self._crc32c.to_bytes(4, "big")).decode()

    def write(self, data: bytes) -> None:
        """Append `data`; blocks on the disk."""
        with self._path.open("r+b", buffering=0) as file:
            file.truncate(self.size)  # a write that failed halfway may have left more
            file.seek(self.size)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        self._md5.update(data)
        self._crc32c = google_crc32c.extend(self._crc32c, data)
        self.size += len(data)

    def discard(self) -> None:
        """Delete the blob; may be repeated."""
        self._path.unlink(missing_ok=True)
