"""Downloads of object media: whole objects and ranges, streamed from disk.

Mirrors https://cloud.google.com/storage/docs/json_api/v1/objects/get and RFC 9110 section 14. Only
one range in a Range header is honoured; for anything else the answer is the whole object.
"""

import os
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from email.utils import format_datetime
from typing import BinaryIO
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from launcher.emulator.storage.errors import NotImplementedHere, RangeNotSatisfiable
from launcher.emulator.storage.records import StoredObject
from launcher.emulator.storage.resources import object_etag

_PIECE_BYTES = 1 << 20
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")


def media_headers(stored: StoredObject) -> dict[str, str]:
    """Build the headers that describe an object, not the range of it that is sent."""
    settings = stored.settings
    hashes = [f"crc32c={stored.crc32c}"] + ([f"md5={stored.md5_hash}"] if stored.md5_hash else [])
    headers = {
        "Content-Type": settings.content_type,
        "ETag": object_etag(stored),
        "Last-Modified": format_datetime(stored.updated, usegmt=True),
        "Accept-Ranges": "bytes",
        "Cache-Control": settings.cache_control,
        "Content-Disposition": _attachment(settings.content_disposition),
        "Content-Encoding": settings.content_encoding,
        "Content-Language": settings.content_language,
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": str(stored.metageneration),
        "X-Goog-Hash": ",".join(hashes),
        "X-Goog-Storage-Class": settings.storage_class,
        "X-Goog-Stored-Content-Encoding": settings.content_encoding or "identity",
        "X-Goog-Stored-Content-Length": str(stored.size),
    }
    # Header values are Latin-1 on the wire.
    return {k: quote(v, safe="".join(map(chr, range(32, 127)))) for k, v in headers.items() if v}


def _attachment(disposition: str | None) -> str:
    """Return a disposition under which no browser shows the object as a page of this machine's."""
    own = disposition or ""
    return own if own.lower().startswith("attachment") else "attachment"


def media_response(
    stored: StoredObject, file: BinaryIO, range_header: str | None, accept_encoding: str
) -> Response:
    """Answer with an object's bytes, or a range of them; closes `file` when sent.

    Raises:
        RangeNotSatisfiable: the range begins at or after the end of the object.
        NotImplementedHere: the client needs the object decompressed, which the service would do.
    """
    with ExitStack() as on_error:
        on_error.callback(file.close)
        _check_encoding(stored, accept_encoding)
        span = parse_range(range_header, stored.size)
        on_error.pop_all()
    headers = media_headers(stored)
    start, length = span or (0, stored.size)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{stored.size}"
    headers["Content-Length"] = str(length)
    status = 200 if span is None else 206
    return StreamingResponse(_pieces(file, start, length), status_code=status, headers=headers)


def _check_encoding(stored: StoredObject, accept_encoding: str) -> None:
    if stored.settings.content_encoding == "gzip" and "gzip" not in accept_encoding:
        raise NotImplementedHere("Decompressive transcoding (a GET that does not accept gzip)")


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return start and length of the range in a header, None for the whole object.

    Raises:
        RangeNotSatisfiable: it begins at or after `size`.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last) + 1 if last else size, size)
    else:
        start, end = max(0, size - int(last)), size
    if start >= size:
        raise RangeNotSatisfiable(size)
    return (start, end - start) if end > start else None


async def _pieces(file: BinaryIO, start: int, length: int) -> AsyncIterator[bytes]:
    with file:
        end = start + length
        while start < end:
            size = min(_PIECE_BYTES, end - start)
            piece = await run_in_threadpool(os.pread, file.fileno(), size, start)
            if not piece:
                raise EOFError("the object's file was cut while it was sent")
            start += len(piece)
            yield piece
