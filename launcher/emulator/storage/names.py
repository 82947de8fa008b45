"""Which bucket and object names Cloud Storage accepts.

Mirrors https://cloud.google.com/storage/docs/buckets#naming and
https://cloud.google.com/storage/docs/objects#naming. Names are never used as paths.
"""

import re

from launcher.emulator.storage.errors import InvalidRequest, shorten

_BUCKET_PART = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_IP_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_MAX_OBJECT_NAME_BYTES = 1024


def check_bucket_name(name: str) -> None:
    """Raise InvalidRequest unless the service would let a user create this bucket."""
    fits = (
        3 <= len(name) <= (222 if "." in name else 63)
        and all(_BUCKET_PART.fullmatch(part) for part in name.split("."))
        and not _IP_ADDRESS.fullmatch(name)
        and not name.startswith("goog")
        and "google" not in name
    )
    if not fits:
        raise InvalidRequest(f"Invalid bucket name: '{name}'")


def check_object_name(name: object) -> None:
    """Raise InvalidRequest unless the service would store an object of this name."""
    if not isinstance(name, str):
        raise InvalidRequest(f"Invalid value for name: expected a string, got {shorten(name)}")
    if not name:
        raise InvalidRequest("Required parameter: name")
    size = len(name.encode())
    if size > _MAX_OBJECT_NAME_BYTES:
        raise InvalidRequest(
            f"The maximum object length is {_MAX_OBJECT_NAME_BYTES} characters, "
            f"but got a name with {size} characters: '{name[:60]}...'"
        )
    if "\r" in name or "\n" in name:
        raise InvalidRequest(f"Disallowed unicode characters present in object name {name!r}")
    if name in (".", "..") or name.startswith(".well-known/acme-challenge/"):
        raise InvalidRequest(f"Invalid object name: '{name}'")
