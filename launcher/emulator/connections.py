"""uvicorn's HTTP connections, adapted to the odd habits of some clients.

An app can abort a connection, as some faults require. A client that closes its side of the socket
after a request still gets an answer. Idle connections are closed after a while, or earlier if the
process would run out of files, so they never keep other clients from connecting.
"""

from __future__ import annotations

import asyncio
import resource
from typing import ClassVar, cast

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from launcher.emulator.service.faults import TRANSPORT

KEEP_ALIVE_SEC = 75
"""How long a connection may wait for the next request."""

_MOST_FILES = 8192


def allow_many_files() -> None:
    """Raise the limit of open files as far as allowed, up to what thousands of clients need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Connection(H11Protocol):
    """One connection.

    Attributes:
        head_sec: how long a client may take for the head of a request.
        most: the most connections that a server keeps; beyond that, the one that has been silent
            longest is closed. None means a quarter of the files that the process may open.
    """

    head_sec: ClassVar[float] = KEEP_ALIVE_SEC
    most: ClassVar[int | None] = None

    _heard = 0.0
    _has_ended = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}
        self._heard = self.loop.time()
        self._set_deadline()
        if len(self.connections) > (self.most or _find_most()):
            self._make_room()

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        super().data_received(data)
        if not self._awaits_head():
            self._cancel_deadline()
        elif self._deadline is None:
            self._set_deadline()

    def eof_received(self) -> bool:  # type: ignore[override]
        self._has_ended = True
        return self._is_answered()  # Otherwise asyncio closes it.

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._has_ended and not self._is_answered():
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def _awaits_head(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _is_answered(self) -> bool:
        """Return whether a whole request has arrived whose answer is not complete."""
        return not self._awaits_head() and not self.cycle.more_body

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(self.head_sec, self._end)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._deadline = None
        self.transport.close()

    def _make_room(self) -> None:
        others = (cast(Connection, each) for each in self.connections if each is not self)
        silent = [
            each for each in others if not each.transport.is_closing() and not each._is_answered()
        ]
        if silent:
            min(silent, key=lambda each: each._heard).transport.close()


def _find_most() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft // 4, 1) if soft != resource.RLIM_INFINITY else _MOST_FILES // 4
