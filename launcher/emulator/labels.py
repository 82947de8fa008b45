r"""The labels that Google's services accept, for both jobs and buckets.

Mirrors ``Job.labels`` of Dataflow's discovery document, whose \p{Ll}, \p{Lo} and \p{N} are letters
and digits of any script, and https://cloud.google.com/storage/docs/tags-and-labels.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

_LETTERS = ("Ll", "Lo")
_DIGITS = ("Nd", "Nl", "No")
_MOST = 64
_LONGEST, _LONGEST_BYTES = 63, 128


def find_label_problem(labels: Mapping[str, str]) -> str | None:
    """Return what is wrong with labels, or None. UNCONFIRMED: the services' words."""
    if len(labels) > _MOST:
        return f"There are {len(labels)} labels, of which {_MOST} are allowed."
    for key, value in labels.items():
        starts_well = key and unicodedata.category(key[0]) in _LETTERS
        if not starts_well or not _fits(key) or not _fits(value):
            return (
                f"Label {key[:_LONGEST_BYTES]!r}: {value[:_LONGEST_BYTES]!r} must consist of "
                f"lower-case letters, digits, '-' and '_', at most {_LONGEST} of them and "
                f"{_LONGEST_BYTES} bytes, and its key must begin with a letter."
            )
    return None


def _fits(text: str) -> bool:
    return (
        len(text) <= _LONGEST
        and len(text.encode(errors="surrogatepass")) <= _LONGEST_BYTES
        and all(
            letter in "-_" or unicodedata.category(letter) in (*_LETTERS, *_DIGITS)
            for letter in text
        )
    )
