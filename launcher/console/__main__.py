"""Serves the console on the socket that is its standard input, until visits stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Generator

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from launcher.console.apis import Apis, Endpoints
from launcher.console.app import build_app

_IDLE_SEC = 15 * 60
_CHECK_PERIOD_SEC = 10


class _Visited:
    """An app that records when it was last called."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.last = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.last = time.monotonic()
        await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    """A server that the leash's signals stop like any other program."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _find_endpoints() -> Endpoints:
    def url(variable: str) -> str | None:
        host = os.environ.get(variable)
        return f"http://{host.removeprefix('http://').rstrip('/')}" if host else None

    dataflow = url("CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW")
    storage = url("STORAGE_EMULATOR_HOST")
    if dataflow is None or storage is None:
        raise SystemExit("the local Dataflow starts the console: flexpack emulator start")
    return Endpoints(
        dataflow=dataflow,
        storage=storage,
        pubsub=url("PUBSUB_EMULATOR_HOST"),
        bigquery=url("BIGQUERY_EMULATOR_HOST"),
    )


async def _serve() -> None:
    app = _Visited(build_app(Apis(_find_endpoints()), os.environ["CLOUDSDK_CORE_PROJECT"]))
    server = _Server(
        uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none")
    )
    serving = asyncio.create_task(server.serve(sockets=[socket.socket(fileno=0)]))
    while not serving.done() and time.monotonic() - app.last < _IDLE_SEC:
        await asyncio.wait([serving], timeout=_CHECK_PERIOD_SEC)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(_serve())
