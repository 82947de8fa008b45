"""The zip archives that torch writes, rewritten for another device."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path


def rewrite(source: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path | None:
    """Write an archive with changed members, and return it; None if nothing changes.

    Args:
        source: torch's archive.
        target: the new archive.
        change: gets name and content of a member that holds code, JSON or pickled data, and returns
            the new content; the data of tensors is not changed.

    Raises:
        zipfile.BadZipFile: the archive is damaged.
    """
    with zipfile.ZipFile(source) as archive:
        changed = {}
        for name in archive.namelist():
            if name.endswith((".py", ".json", ".pt")):
                content = archive.read(name)
                new = change(name, content)
                if new != content:
                    changed[name] = new
        if not changed:
            return None
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as copy:
            for member in archive.infolist():
                if member.filename in changed:
                    copy.writestr(member.filename, changed[member.filename])
                else:
                    with archive.open(member) as old, copy.open(member.filename, "w") as new_file:
                        shutil.copyfileobj(old, new_file, 1 << 20)
    return target
