"""Faults on demand, queued by method id: failing, late or missing answers, and jobs that fail.

For tests of clients. A queued fault names a method and strikes its next call; faults of jobs strike
the next accepted launch. Queued and read at ``/emulator/faults``, a path that no Google API has:

    POST    {"methodId": "dataflow.projects.locations.jobs.get", "fault": "503"}; also "count",
            and for "delay" and "delay-after" the field "delaySec"
    GET     all faults since the last DELETE, and which of them were met
    DELETE  forget them all

Follows the retry tests of https://github.com/googleapis/storage-testbench.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from launcher.emulator.service import errors
from launcher.emulator.service.bodies import read_json

CONTROL_PATH = "/emulator/faults"
TRANSPORT = "transport"
"""The key under which the scope's state must hold the ``asyncio.Transport`` of the connection."""

_MOST_FAULTS = 1000
_LONGEST_DELAY_SEC = 600
_LAUNCH = "dataflow.projects.locations.flexTemplates.launch"
_FIELDS = frozenset({"methodId", "fault", "count", "delaySec"})


class FaultKind(StrEnum):
    """What happens to a call; *after* means that the call has taken effect.

    ``no-capacity`` and ``no-quota`` fail the job that a call launches; the call itself succeeds.
    ``404`` is Dataflow's occasional answer while a job starts, and ``not-ready`` its answer to a
    cancellation that comes too early.
    """

    ERROR_429 = "429"
    ERROR_503 = "503"
    ERROR_503_AFTER = "503-after"
    DROP = "drop"
    DROP_AFTER = "drop-after"
    DELAY = "delay"
    DELAY_AFTER = "delay-after"
    NO_CAPACITY = "no-capacity"
    NO_QUOTA = "no-quota"
    NOT_FOUND = "404"
    NOT_READY = "not-ready"


JOB_FAULTS = frozenset({FaultKind.NO_CAPACITY, FaultKind.NO_QUOTA})
_OF_DATAFLOW = frozenset({FaultKind.NOT_FOUND, FaultKind.NOT_READY})
_CALL_FAULTS = frozenset(FaultKind) - JOB_FAULTS
_REFUSALS: Mapping[FaultKind, Callable[[], errors.ApiError]] = {
    FaultKind.ERROR_429: errors.too_many_requests,
    FaultKind.NOT_FOUND: errors.metadata_unreadable,
    FaultKind.NOT_READY: errors.not_ready_for_canceling,
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault; only the two delays use ``delay_sec``."""

    method_id: str
    kind: FaultKind
    delay_sec: float = 0.0
    met: bool = False

    def to_json(self) -> dict[str, Any]:
        is_delay = self.kind in (FaultKind.DELAY, FaultKind.DELAY_AFTER)
        delay = {"delaySec": self.delay_sec} if is_delay else {}
        return {"methodId": self.method_id, "fault": self.kind.value, **delay, "met": self.met}


class DroppedConnection(Response):
    """No answer: the connection is closed without a byte."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][TRANSPORT].abort()
        await asyncio.sleep(0)  # The server notices this before it requests the answer.


class FaultQueue:
    """The faults that wait for a call, and those that have struck; thread-safe."""

    def __init__(self, method_ids: Collection[str]) -> None:
        self._method_ids = frozenset(method_ids)
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault, count: int = 1) -> None:
        """Queue a fault after the method's earlier ones.

        Raises:
            ApiError: the method does not exist or launches no job, or the queue is full.
        """
        if fault.method_id not in self._method_ids:
            raise errors.invalid_argument(
                f"methodId {fault.method_id!r} is not a method of Dataflow or Cloud Storage; "
                f"their discovery documents list them, such as {_LAUNCH}."
            )
        if fault.kind in JOB_FAULTS and fault.method_id != _LAUNCH:
            raise errors.invalid_argument(
                f"fault {fault.kind.value!r} strikes only jobs of {_LAUNCH}, not {fault.method_id}."
            )
        if fault.kind in _OF_DATAFLOW and not fault.method_id.startswith("dataflow."):
            raise errors.invalid_argument(
                f"fault {fault.kind.value!r} is an answer of Dataflow, not of {fault.method_id}."
            )
        with self._lock:
            if len(self._faults) + count > _MOST_FAULTS:
                raise errors.invalid_argument(
                    f"At most {_MOST_FAULTS} faults are kept; DELETE {CONTROL_PATH} forgets them."
                )
            self._faults += [fault] * count

    def take(self, method_id: str, kinds: Collection[FaultKind] = _CALL_FAULTS) -> Fault | None:
        """Return the fault that strikes a call of the method now, if any, and record it.

        Args:
            method_id: the call's.
            kinds: the faults that can take effect now; others wait.
        """
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.method_id == method_id and fault.kind in kinds and not fault.met:
                    self._faults[index] = dataclasses.replace(fault, met=True)
                    return fault
        return None

    def list(self) -> tuple[Fault, ...]:
        """Return all faults since the last ``clear``, in the order in which they were queued."""
        with self._lock:
            return tuple(self._faults)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    async def play(
        self, method_id: str, request: Request, answer: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Answer a call of the method by ``answer``, or by the fault that strikes it.

        Args:
            method_id: the call's.
            request: the call's.
            answer: executes the call; reads the body of ``request``.
        """
        fault = self.take(method_id)
        if fault is None:
            return await answer()
        if fault.kind is FaultKind.DELAY:
            # A call that has arrived takes effect even if its client gives up meanwhile. The body
            # is kept for ``answer``, because it can no longer be read once the client has
            # disconnected.
            await request.body()
            await asyncio.sleep(fault.delay_sec)
            return await answer()
        if fault.kind is FaultKind.DELAY_AFTER:
            response = await answer()
            await asyncio.sleep(fault.delay_sec)
            return response
        if fault.kind in (FaultKind.ERROR_503_AFTER, FaultKind.DROP_AFTER):
            with contextlib.suppress(Exception):  # The answer is lost.
                await answer()
        if fault.kind in (FaultKind.DROP, FaultKind.DROP_AFTER):
            return DroppedConnection()
        error = _REFUSALS.get(fault.kind, errors.unavailable)()
        return JSONResponse(error.body(), error.code)


def fault_routes(faults: FaultQueue) -> list[Route]:
    """Return the route for queueing faults and seeing which have struck."""

    async def control(request: Request) -> Response:
        if request.method == "DELETE":
            faults.clear()
        elif request.method == "POST":
            faults.add(*_read_fault(await read_json(request)))
        return Response(
            orjson.dumps({"faults": [fault.to_json() for fault in faults.list()]}),
            media_type="application/json",
        )

    return [Route(CONTROL_PATH, control, methods=["GET", "POST", "DELETE"])]


def _read_fault(body: object) -> tuple[Fault, int]:
    if not isinstance(body, Mapping) or (unknown := body.keys() - _FIELDS):
        named = f"; unknown: {', '.join(sorted(unknown))}" if isinstance(body, Mapping) else ""
        raise errors.invalid_argument(
            f"A fault is an object with the fields {', '.join(sorted(_FIELDS))}{named}."
        )
    try:
        kind = FaultKind(str(body.get("fault")))
    except ValueError as error:
        raise errors.invalid_argument(
            f"fault {body.get('fault')!r} is not one of {', '.join(FaultKind)}."
        ) from error
    count, delay_sec = body.get("count", 1), body.get("delaySec", 0)
    if type(count) is not int or count < 1:
        raise errors.invalid_argument(f"count {count!r} must be a whole number, 1 or more.")
    is_number = isinstance(delay_sec, int | float) and not isinstance(delay_sec, bool)
    if not is_number or not 0 <= delay_sec <= _LONGEST_DELAY_SEC:
        raise errors.invalid_argument(
            f"delaySec {delay_sec!r} must be a number of seconds up to {_LONGEST_DELAY_SEC}."
        )
    fault = Fault(method_id=str(body.get("methodId")), kind=kind, delay_sec=float(delay_sec))
    return fault, count
