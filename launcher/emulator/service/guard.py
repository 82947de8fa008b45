"""Decides who may call the local Dataflow: programs on this machine, but never a web page.

Its API runs code, so a page in the user's browser must not reach it. A request is refused if it
carries a foreign ``Origin``, if the browser marks it as another site's (``Sec-Fetch-Site``), or if
its ``Host`` is not local (a name that a page has rebound to 127.0.0.1). The metadata server's name
is accepted only for the metadata server.

Answers are inert in a browser: a stored object is neither rendered nor run, whatever its type.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from launcher.emulator.service import errors

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_METADATA_HOST = "metadata.google.internal"
_METADATA_PATH = "/computeMetadata"
_OWN_SITES = ("none", "same-origin")
_INERT = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}


class LocalOnly:
    """ASGI middleware that answers 403 to a foreign ``Host``, ``Origin`` or site.

    Args:
        metadata_server: whether the app includes the metadata server, whose clients may call it by
            its name.
    """

    def __init__(self, app: ASGIApp, *, metadata_server: bool = False) -> None:
        self._app = app
        self._metadata_server = metadata_server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_inert(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_INERT)
            await send(message)

        refusal = self._refusal(scope["path"], Headers(scope=scope))
        if refusal:
            error = errors.permission_denied(refusal)
            response = Response(
                orjson.dumps(error.body()), error.code, media_type="application/json"
            )
            await response(scope, receive, send_inert)
        else:
            await self._app(scope, receive, send_inert)

    def _refusal(self, path: str, headers: Headers) -> str:
        host, origin = headers.get("host", ""), headers.get("origin")
        name = _hostname(host)
        if name not in _LOOPBACK_HOSTS and not (
            name == _METADATA_HOST and self._metadata_server and _is_metadata(path)
        ):
            return (
                f"Host {host!r} is not this machine; the local Dataflow answers to "
                f"{', '.join(sorted(_LOOPBACK_HOSTS))}."
            )
        if origin is not None and (name == _METADATA_HOST or origin != f"http://{host}"):
            return f"Origin {origin!r} is another site; the local Dataflow answers no web pages."
        if headers.get("sec-fetch-site", "none") not in _OWN_SITES:
            return "The request comes from a web page; the local Dataflow answers no web pages."
        return ""


def _is_metadata(path: str) -> bool:
    """Return whether a path is google-auth's ping, or the metadata server's."""
    return path in ("/", _METADATA_PATH) or path.startswith(f"{_METADATA_PATH}/")


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
