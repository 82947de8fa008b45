"""The patterns of ``matchGlob``, as regular expressions for RE2.

Mirrors https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob
"""

import functools
import re
from typing import Any

import re2

from launcher.emulator.storage.errors import InvalidRequest, shorten

_PIECE = re.compile(r"\*\*|[*?,{}]|\\.|\[!?\]?[^\]]*\]|.", re.DOTALL)
_WILDCARDS = {"**": ".*", "*": "[^/]*", "?": "[^/]"}


@functools.lru_cache
def compile_glob(glob: str) -> Any:
    """Return the pattern that a whole name must match.

    ``*`` and ``?`` stand for anything but a slash, ``**`` for anything; ``[a-z]``, ``[!a-z]`` and
    ``{a,b}`` are sets of letters and alternatives.

    Raises:
        InvalidRequest: it is not a glob.
    """
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    try:
        return re2.compile(_translate(glob), options)
    except re2.error as error:
        raise InvalidRequest(f"Invalid value for matchGlob: {shorten(glob)}") from error


def _translate(glob: str) -> str:
    parts, depth = [], 0
    for piece in _PIECE.findall(glob):
        if piece in _WILDCARDS:
            parts.append(_WILDCARDS[piece])
        elif piece == "{":
            depth += 1
            parts.append("(?:")
        elif piece == "}" and depth:
            depth -= 1
            parts.append(")")
        elif piece == "," and depth:
            parts.append("|")
        elif piece[0] == "[" and len(piece) > 2:
            negation = "^" * (piece[1] == "!")
            letters = piece[1 + len(negation) : -1].replace("\\", r"\\").replace("[", r"\[")
            parts.append(f"[{negation}{letters}]")
        else:
            parts.append(re2.escape(piece[-1] if piece[0] == "\\" else piece))
    return "".join(parts)
