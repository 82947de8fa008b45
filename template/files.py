"""Copy files and folders from any Beam filesystem, for libraries that need a local path."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from template.archives import is_archive, unpack


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
        _copy(path, local)
        yield str(local)


@contextmanager
def download_to_localfs(path: str) -> Iterator[str]:
    """Copy a file, a folder or the content of an archive, and give the copy's local path.

    A folder in Cloud Storage consists of all objects whose names begin with the folder's name and a
    slash. An archive is a tar, compressed or not, or a zip whose name ends in ``.zip``: many
    formats of models are zips themselves. If an archive contains only a folder, the path is that
    folder's. Everything is removed at the end of the ``with`` block.

    Raises:
        FileNotFoundError: there is neither a file nor a folder.
        ValueError: the archive has links, names outside of it, or far more content than its size.
    """
    if files := list_folder(path):
        with tempfile.TemporaryDirectory() as folder:
            top = Path(folder) / PurePosixPath(path.rstrip("/")).name
            for name, full in files.items():
                local = top / name
                if not local.resolve().is_relative_to(top.resolve()):
                    raise ValueError(f"{full}: the name leads out of the folder")
                local.parent.mkdir(parents=True, exist_ok=True)
                _copy(full, local)
            yield str(top)
        return
    with download_file_to_localfs(path) as file:
        if not is_archive(Path(file)):
            yield file
            return
        with tempfile.TemporaryDirectory() as folder:
            yield str(unpack(Path(file), Path(folder)))


def list_folder(path: str) -> dict[str, str]:
    """Return the files of a folder and those below it: full path by path in the folder.

    Empty if there is no such folder.
    """
    if "://" not in path and not Path(path).is_dir():
        return {}
    if "://" in path and not path.endswith("/") and FileSystems.exists(path):
        return {}
    top = path.rstrip("/") + "/"
    found = {each.path for each in FileSystems.match([f"{top}**"])[0].metadata_list}
    folders = {each for each in found if "://" not in path and Path(each).is_dir()}
    files = sorted(each for each in found - folders if not each.endswith("/"))
    return {each.removeprefix(top): each for each in files}


def _copy(path: str, local: Path) -> None:
    source = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    with source, local.open("wb") as target:
        shutil.copyfileobj(source, target, length=1 << 20)
