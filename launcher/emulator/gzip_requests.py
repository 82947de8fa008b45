"""Requests whose body is compressed with gzip, which Google's Java client sends by default.

The body is decompressed as it arrives, in pieces of limited size, so that the reader's limits apply
to the decompressed size, and a small body cannot fill the memory.
"""

from __future__ import annotations

import zlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PIECE_BYTES = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS


class GzipRequests:
    """ASGI middleware that decompresses the bodies of requests.

    If a body is not gzip, reading it raises an ``HTTPException`` of status 400.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and Headers(scope=scope).get("content-encoding") == "gzip":
            headers = MutableHeaders(raw=list(scope["headers"]))
            del headers["content-encoding"], headers["content-length"]
            scope = {**scope, "headers": headers.raw}
            receive = _Decompression(receive)
        await self._app(scope, receive, send)


class _Decompression:
    """Passes on the messages of a request, its body decompressed."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._decompressor = zlib.decompressobj(_GZIP)
        self._compressed = b""
        self._is_last = False

    async def __call__(self) -> Message:
        while not self._compressed and not self._is_last:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._compressed = message.get("body", b"")
            self._is_last = not message.get("more_body", False)
        try:
            piece = self._decompressor.decompress(self._compressed, _PIECE_BYTES)
        except zlib.error as error:
            raise _bad_gzip() from error
        self._compressed = self._decompressor.unconsumed_tail
        # zlib may hold data beyond a full piece.
        ended = self._is_last and not self._compressed and len(piece) < _PIECE_BYTES
        if ended and not self._decompressor.eof:
            raise _bad_gzip()
        return {"type": "http.request", "body": piece, "more_body": not ended}


def _bad_gzip() -> HTTPException:
    return HTTPException(400, "The body of the request is not gzip, although its header says so.")
