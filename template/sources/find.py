"""Find the files of a pattern, without files that are next to the input but are not part of it.

Folder placeholders are not input, nor are files whose names begin with ``.`` or ``_``, as in
Spark, BigQuery and Arrow: ``_SUCCESS``, ``_metadata``, ``_temporary/``, ``.part-0.csv.crc``. A
pattern that names such files explicitly (``_*.csv``) finds them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from template.file_versions import FileVersion, match_files
from template.parameters import ParameterError
from template.sources.formats import Format, find_format

AUTO = "auto"
_HIDDEN = (".", "_")
_PLACEHOLDERS = ("/", "_$folder$")
_SHOWN_FILES = 5
_LITERAL = re.compile(r"(?P<folder>[^*?\[]*/)")

_log = logging.getLogger(__name__)


def find_files(pattern: str) -> list[FileVersion]:
    """Return the files to read, by path.

    Raises:
        ParameterError: there are none, or they cannot be listed.
    """
    try:
        matched = match_files(pattern)
    except Exception as error:  # each filesystem raises its own exceptions
        raise ParameterError(f"--input {pattern!r}: cannot be listed: {error}") from error
    found = [file for file in matched if not file.path.endswith(_PLACEHOLDERS)]
    if [file.path for file in found] == [pattern] and Path(pattern).is_dir():
        folder = pattern.rstrip("/")
        raise ParameterError(f"--input {pattern!r}: is a folder: write '{folder}/*'")
    if not found:
        raise ParameterError(f"--input {pattern!r}: no file matches this pattern{_hint(pattern)}")
    files = [file for file in found if not _is_hidden(file.path, pattern)]
    hidden = [file.path for file in found if _is_hidden(file.path, pattern)]
    if not files:
        raise ParameterError(
            f"--input {pattern!r}: only files or folders that begin with '.' or '_' match, which "
            f"are not input unless the pattern names them: {_some(hidden)}"
        )
    if hidden:
        _log.info("not input, because the name begins with '.' or '_': %s", _some(hidden))
    return files


def check_input(pattern: str, input_format: str) -> None:
    """Check, before a launch, that there is something to read; lists the files.

    Raises:
        ParameterError: no file matches, or no matching name has a known ending.
    """
    files = find_files(pattern)
    if input_format == AUTO and not any(find_format(file.path) for file in files):
        raise ParameterError(
            f"--input {pattern!r}: the name {files[0].path!r} has no known format; pass "
            f"--input_format, one of {', '.join(Format)}"
        )


def find_folder(pattern: str) -> str:
    """Return the folder at the beginning of a pattern, up to the last slash before a wildcard."""
    begin = _LITERAL.match(pattern)
    return begin["folder"] if begin else ""


def _is_hidden(path: str, pattern: str) -> bool:
    folder = find_folder(pattern)
    named = {name[:1] for name in pattern.removeprefix(folder).split("/")}
    below = path.removeprefix(folder).split("/")
    return any(name.startswith(_HIDDEN) and name[0] not in named for name in below)


def _hint(pattern: str) -> str:
    """Explain how to match literal brackets: in a pattern they enclose alternative characters."""
    if "[" not in pattern:
        return ""
    escaped = pattern.replace("[", "[[]")
    return f"; to match a bracket itself, write '[[]' for '[': {escaped!r}"


def _some(paths: Sequence[str]) -> str:
    more = len(paths) - _SHOWN_FILES
    return ", ".join(paths[:_SHOWN_FILES]) + (f" and {more} more" if more > 0 else "")
