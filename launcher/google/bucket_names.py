"""Which names Cloud Storage accepts for a new bucket.

https://cloud.google.com/storage/docs/buckets#naming
"""

from __future__ import annotations

import re

_LENGTH = range(3, 64)
_DOTTED_LENGTH = range(3, 223)
_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")


def find_bucket_name_problem(name: str) -> str | None:
    """Return why no bucket of this name can be created, or None."""
    if not re.fullmatch(r"[-_.a-z0-9]*", name):
        return "a bucket's name has only lower-case letters, digits, '-', '_' and '.'"
    allowed = _DOTTED_LENGTH if "." in name else _LENGTH
    if len(name) not in allowed or max(map(len, name.split("."))) not in range(64):
        return "a bucket's name has 3 to 63 characters, or up to 63 between two dots"
    if not (name[0].isalnum() and name[-1].isalnum()):
        return "a bucket's name starts and ends with a letter or a digit"
    if any(pair in name for pair in ("..", ".-", "-.")):
        return "a bucket's name has no '..', '.-' or '-.'"
    if _ADDRESS.fullmatch(name):
        return "a bucket's name is not an IP address"
    if name.startswith("goog") or "google" in name or "g00gle" in name:
        return "a bucket's name does not start with 'goog' or contain 'google'"
    return None
