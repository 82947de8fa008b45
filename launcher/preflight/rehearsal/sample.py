"""A small part of a job's real input, for a rehearsal: one file, shortened if its format allows."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import FlexpackError, InputError
from launcher.google.storage import read_first_match

# Files of lines are cut at this size; other files are copied whole or refused.
_LINES_BYTES = 1_000_000
_WHOLE_BYTES = 64_000_000
_LINE_FORMATS = (".csv", ".jsonl", ".ndjson", ".txt")


class NoSample(FlexpackError):  # noqa: N818  not an error of the user's
    """The input has no usable sample; the message says why."""


@dataclass(frozen=True)
class Sample:
    """A file's name and the first part of its content."""

    name: str
    content: bytes


def read_sample(pattern: str) -> Sample:
    """Return the first file that a pattern matches, cut at a line's end if it has lines. Blocks.

    Raises:
        NoSample: nothing matches, or the file cannot be read or is too large to be copied whole.
    """
    try:
        name, content = _read(pattern)
    except (FlexpackError, OSError) as problem:
        raise NoSample(f"{pattern}: {problem}") from problem
    if name.endswith(_LINE_FORMATS):
        if len(content) > _LINES_BYTES:
            content = content[: content.rfind(b"\n", 0, _LINES_BYTES) + 1]
    elif len(content) > _WHOLE_BYTES:
        raise NoSample(f"{name}: larger than {_WHOLE_BYTES // 1_000_000} MB, and cannot be cut")
    return Sample(name, content)


def _read(pattern: str) -> tuple[str, bytes]:
    if pattern.startswith("gs://"):
        name, content = read_first_match(pattern, limit_bytes=_WHOLE_BYTES + 1)
        return name.rpartition("/")[2], content
    matches = sorted(path for path in glob.glob(pattern) if Path(path).is_file())  # noqa: PTH207
    if not matches:
        raise InputError("no file matches")
    with Path(matches[0]).open("rb") as file:
        return Path(matches[0]).name, file.read(_WHOLE_BYTES + 1)
