"""Who may talk to the local Dataflow: programs on this machine, and no web page.

Its API runs code, so a page in the user's browser must not reach it: a foreign ``Origin`` is
refused, a request that the browser itself marks as another site's (``Sec-Fetch-Site``), and a
``Host`` that is not local (a name that a page has rebound to 127.0.0.1).
"""

from __future__ import annotations

from urllib.parse import urlsplit

import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from launcher.emulator import errors

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
METADATA_HOST = "metadata.google.internal"
_OWN_SITES = ("none", "same-origin")


class LocalOnly:
    """ASGI middleware that answers 403 to a foreign ``Host``, ``Origin`` or site."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str] = LOOPBACK_HOSTS) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            refusal = self._refusal(headers)
            if refusal:
                error = errors.permission_denied(refusal)
                response = Response(
                    orjson.dumps(error.body()), error.code, media_type="application/json"
                )
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> str:
        host, origin = headers.get("host", ""), headers.get("origin")
        if _hostname(host) not in self._hosts:
            return (
                f"Host {host!r} is not this machine; the local Dataflow answers to "
                f"{', '.join(sorted(self._hosts))}."
            )
        if origin is not None and origin != f"http://{host}":
            return f"Origin {origin!r} is foreign; the local Dataflow answers no web page."
        if headers.get("sec-fetch-site", "none") not in _OWN_SITES:
            return "The request comes from a web page; the local Dataflow answers none."
        return ""


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
