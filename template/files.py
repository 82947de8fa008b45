"""Files of any Beam filesystem as local files, for libraries that want a path."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems


@contextmanager
def download_file_to_localfs(path: str) -> Iterator[str]:
    """Copy a file, ``gs://...`` or local, and give the copy's local path.

    The copy keeps the file's name and its bytes (a ``.gz`` stays compressed), and is removed at
    the end of the ``with`` block.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    if not FileSystems.exists(path):
        raise FileNotFoundError(f"{path}: no such file")
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / FileSystems.split(path)[1]
        source = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
        with source, local.open("wb") as target:
            shutil.copyfileobj(source, target, length=1 << 20)
        yield str(local)
