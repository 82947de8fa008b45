"""The multipart/related body of an upload: an Object resource, then media.

Mirrors https://cloud.google.com/storage/docs/uploading-objects (JSON API, multipart upload).
"""

import re
from collections.abc import Callable
from email.message import Message
from email.parser import BytesHeaderParser

from launcher.emulator.storage.calls import parse_json
from launcher.emulator.storage.errors import InvalidRequest, PayloadTooLarge
from launcher.emulator.storage.resources import Json

_BOUNDARY = re.compile(r"""boundary=(?:"([^"]+)"|'([^']+)'|([^\s;]+))""", re.IGNORECASE)
_HEAD_LIMIT_BYTES = 10 << 20  # of the Object resource and what surrounds it
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


def find_delimiter(content_type: str) -> bytes:
    """Return what separates the parts of a multipart body; raises InvalidRequest."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise InvalidRequest(f"Content-Type without a multipart boundary: {content_type!r}")
    boundary: str = match[1] or match[2] or match[3]
    return b"--" + boundary.encode()


def split_part(part: bytes) -> tuple[Message, bytes]:
    """Return the headers and the body of a part, which begins with the end of a line."""
    head, *body = _BLANK_LINE.split(part, maxsplit=1)
    return BytesHeaderParser().parsebytes(head.lstrip()), b"".join(body)


class MultipartParser:
    """Parses a multipart/related body as it arrives: an Object resource, then media.

    Both CRLF and bare LF end lines, and single quotes may surround the boundary: Google's own
    command line sends these.

    Attributes:
        resource, media_type: known once `feed` has returned media or `finish` was called.
    """

    def __init__(self, content_type: str, write: Callable[[bytes], None]) -> None:
        self._delimiter = find_delimiter(content_type)
        self._write = write
        self._buffer = b""
        self._in_media = False
        self._complete = False
        self.resource: Json = {}
        self.media_type: str | None = None

    def feed(self, data: bytes) -> None:
        """Take the next part of the body; writes the media in it."""
        self._buffer += data
        if not self._in_media:
            self._parse_head()
            if not self._in_media and len(self._buffer) > _HEAD_LIMIT_BYTES:
                raise PayloadTooLarge(
                    f"The Object resource is larger than {_HEAD_LIMIT_BYTES} bytes."
                )
        if self._in_media and not self._complete:
            self._parse_media()

    def finish(self) -> None:
        """Raise InvalidRequest unless the body was complete."""
        if not self._complete:
            raise InvalidRequest("Multipart body ends before its closing boundary.")

    def _parse_head(self) -> None:
        """Consume everything before the media, once all of it has arrived."""
        line_end = self._buffer.find(b"\n")
        if line_end < 0:
            return
        newline = b"\r\n" if self._buffer[line_end - 1 : line_end] == b"\r" else b"\n"
        if self._buffer[:line_end].rstrip() != self._delimiter:
            raise InvalidRequest("Multipart body does not begin with its boundary.")
        separator = newline + self._delimiter
        resource_end = self._buffer.find(separator, line_end)
        if resource_end < 0:
            return
        media_head = resource_end + len(separator)
        media_start = self._buffer.find(newline * 2, media_head)
        if media_start < 0:
            return
        _, resource = split_part(self._buffer[line_end:resource_end])
        headers, _ = split_part(self._buffer[media_head:media_start])
        self.resource = parse_json(resource)
        self.media_type = headers["content-type"]
        self._buffer = self._buffer[media_start + len(newline * 2) :]
        self._delimiter = separator
        self._in_media = True

    def _parse_media(self) -> None:
        """Write the media that has arrived, except a tail that may be the start of the boundary."""
        end = self._buffer.find(self._delimiter)
        self._complete = end >= 0
        if not self._complete:
            end = max(0, len(self._buffer) - len(self._delimiter))
        media, self._buffer = self._buffer[:end], self._buffer[end:]
        if media:
            self._write(media)
