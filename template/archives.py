"""Unpacks archives of models without trusting them."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

MOST_BYTES = 64 << 30
"""The limits of an unpacked archive."""
_MOST_FILES = 10_000
_MOST_RATIO = 200
"""The largest ratio of unpacked to packed size, beyond ``_FREE_BYTES``."""
_FREE_BYTES = 1 << 30


def is_archive(path: Path) -> bool:
    """Return whether a file is a tar, compressed or not, or a zip named ``.zip``."""
    if path.suffix.lower() == ".zip" and zipfile.is_zipfile(path):
        return True
    try:
        return tarfile.is_tarfile(path)
    except (OSError, EOFError, ValueError):  # the file is damaged after its first bytes
        return False


def unpack(path: Path, folder: Path) -> Path:
    """Unpack an archive into an empty folder, and return that, or the only folder in it.

    Raises:
        ValueError: it holds links, devices, absolute names or names with ``..``; more than 64 GiB
            or 10,000 files; or 200 times its own size and more than 1 GiB. Or it is damaged.
    """
    limit = min(MOST_BYTES, max(_FREE_BYTES, _MOST_RATIO * path.stat().st_size))
    try:
        for count, (name, source) in enumerate(_find_files(path)):
            if count >= _MOST_FILES:
                raise ValueError(f"{path.name}: more than {_MOST_FILES} files")
            target = folder / _check_name(name, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            limit -= _write(source, target, limit, path)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        raise ValueError(f"{path.name}: cannot be unpacked: {error}") from error
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _find_files(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if zipfile.is_zipfile(path) and not tarfile.is_tarfile(path):
        with zipfile.ZipFile(path) as archive:
            for each in archive.infolist():
                if (each.external_attr >> 16) & 0o170000 not in (0, 0o100000, 0o040000):
                    raise ValueError(f"{path.name}: {each.filename!r} is not a plain file")
                if not each.is_dir():
                    with archive.open(each) as source:
                        yield each.filename, source
        return
    with tarfile.open(path, "r:*") as tar:
        for member in tar:
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"{path.name}: {member.name!r} is a link or a device")
            if member.isfile():
                source_file = tar.extractfile(member)
                assert source_file is not None, "a plain file"
                with source_file:
                    yield member.name, source_file


def _check_name(name: str, archive: Path) -> str:
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or parts[0] == "/" or "\\" in name or "\0" in name:
        raise ValueError(f"{archive.name}: {name!r} would be written outside of its folder")
    return name


def _write(source: IO[bytes], target: Path, limit: int, archive: Path) -> int:
    """Write a file of at most ``limit`` bytes, and return its size."""
    size = 0
    with target.open("xb") as file:
        while chunk := source.read(1 << 20):
            size += len(chunk)
            if size > limit:
                file.close()
                shutil.rmtree(target.parent)
                raise ValueError(
                    f"{archive.name}: unpacks to far more than its size; unpack it yourself"
                )
            file.write(chunk)
    return size
