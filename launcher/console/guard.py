"""Decides who may call the console: only the user's browser, from the console's own pages.

A launch runs code, so no other page may reach it: not from another origin, not in a frame, and not
by another name that resolves to this machine. A request is refused if its ``Host`` is not local, if
it changes something and does not carry the console's own ``Origin``, or if the browser marks it as
another site's. A link on another site leads to a page that explains this and links to the
console.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_OWN_SITES = ("none", "same-origin")
_READS = ("GET", "HEAD")
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_REFUSAL = (
    '<!doctype html><html lang="en"><title>Refused</title><h1>Refused</h1>'
    '<p>{}</p><p><a href="/">Open the console</a></p>'
)


class OwnPagesOnly:
    """ASGI middleware that answers 403 to everyone else, and sets the security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if refusal := _find_refusal(scope["method"], Headers(scope=scope)):
            response = HTMLResponse(_REFUSAL.format(refusal), 403)
            await response(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)


def _find_refusal(method: str, headers: Headers) -> str:
    host, origin = headers.get("host", ""), headers.get("origin")
    if _hostname(host) not in _LOOPBACK_HOSTS:
        return "The console answers only under the names localhost and 127.0.0.1."
    if origin is None and method not in _READS:
        return "A request that changes something must come from a page of the console."
    if origin is not None and origin != f"http://{host}":
        return "The request comes from a page of another origin."
    if headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        return "The request comes from another site."
    return ""


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
