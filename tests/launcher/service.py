"""The local Dataflow's service in a thread; only its jobs are not real, but follow the tests."""

from __future__ import annotations

import functools
import json
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from launcher.emulator.connections import Connection
from launcher.emulator.runtime.events import Importance, MetricsEvent
from launcher.emulator.runtime.job_runner import JobRunner
from launcher.emulator.runtime.launch import Launch
from launcher.emulator.runtime.states import JobState
from launcher.emulator.service.app import build_dataflow_app
from launcher.emulator.service.discovery import Discovery
from launcher.emulator.service.faults import Fault, FaultKind, FaultQueue
from launcher.emulator.service.history import JobHistory
from launcher.emulator.service.job_facts import job_facts_routes
from launcher.emulator.service.job_records import JobRecord
from launcher.emulator.service.job_store import JobStore
from launcher.emulator.service.metadata_server import metadata_routes
from launcher.emulator.service.methods import Methods
from launcher.emulator.service.operations import answer_call
from launcher.emulator.service.recorder import JobRecorder
from launcher.emulator.storage.store import ObjectStore
from tests.servers import serve_app

LAUNCH = "dataflow.projects.locations.flexTemplates.launch"
LIST = "dataflow.projects.locations.jobs.list"
GET = "dataflow.projects.locations.jobs.get"
UPDATE = "dataflow.projects.locations.jobs.update"
_PAGE_SIZE = 2
# The states of a job on its way to a state.
_WAYS = {
    "QUEUED": (),
    "RUNNING": ("PENDING", "RUNNING"),
    "DONE": ("PENDING", "RUNNING", "DONE"),
    "FAILED": ("FAILED",),
}


@dataclass(frozen=True)
class Parts:
    """The parts of a service."""

    app: Starlette
    jobs: JobStore
    methods: Methods
    recorder: JobRecorder


@contextmanager
def open_parts(
    folder: Path,
    discovery: Discovery,
    *,
    store: ObjectStore,
    runner: object,
    faults: FaultQueue,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[Parts]:
    """Make a service whose every answer is checked against its schema."""
    with (
        closing(JobStore(folder / "jobs.sqlite3", clock=clock)) as jobs,
        closing(JobHistory(folder / "history.sqlite3")) as history,
        closing(
            Methods(
                jobs=jobs,
                store=store,
                runner=cast(JobRunner, runner),
                messages=discovery.messages,
                faults=faults,
            )
        ) as methods,
    ):
        app = build_dataflow_app(
            discovery=discovery,
            dispatch=functools.partial(answer_call, methods),
            faults=faults,
            routes=[
                *metadata_routes(project_id="p", zone="us-central1-a"),
                *job_facts_routes(jobs, history),
            ],
            check_responses=True,
        )
        recorder = JobRecorder(jobs=jobs, messages=discovery.messages, history=history)
        yield Parts(app, jobs, methods, recorder)


class Answers(FaultQueue):
    """The faults, and answers of others: from a proxy, or for methods that the service lacks."""

    def __init__(self, method_ids: Collection[str]) -> None:
        super().__init__(method_ids)
        self._answers: dict[str, deque[tuple[int, bytes, bool]]] = {}

    def say(self, method_id: str, status: int, body: object, *, after: bool = False) -> None:
        """Queue an answer: a text is an error's message, or a page if it begins with ``<``.

        ``after`` means that the call has its effect.
        """
        if isinstance(body, str) and not body.startswith("<"):
            body = {"error": {"code": status, "message": body}}
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self._answers.setdefault(method_id, deque()).append((status, content, after))

    async def play(
        self, method_id: str, request: Request, answer: Callable[[], Awaitable[Response]]
    ) -> Response:
        if not self._answers.get(method_id):
            return await super().play(method_id, request, answer)
        status, content, after = self._answers[method_id].popleft()
        if after:
            await answer()
        return Response(content, status, media_type="application/json")


@dataclass(frozen=True)
class Call:
    """One request as it arrived."""

    verb: str
    target: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Outcome:
    """What happens to a launched job immediately.

    ``document`` replaces fields of the job, as a launcher does after staging it.
    """

    state: str
    texts: Sequence[str] = ()
    importance: Importance = Importance.BASIC
    document: Mapping[str, Any] = field(default_factory=dict)


class Service:
    """A Dataflow over real HTTP, and the runner of its jobs, which does what ``outcomes`` say.

    Each job that is launched takes the next outcome; without one it stays queued.
    """

    def __init__(self, folder: Path, discovery: Discovery, store: ObjectStore) -> None:
        self.outcomes: deque[Outcome] = deque()
        self.calls: list[Call] = []
        self.drained: list[str] = []
        self.now = datetime(2026, 11, 22, 13, tzinfo=UTC)
        self._answers = Answers(discovery.methods)
        self.say = self._answers.say
        self._stack, self._server = ExitStack(), ExitStack()
        self._parts = self._stack.enter_context(
            open_parts(
                folder,
                discovery,
                store=store,
                runner=self,
                faults=self._answers,
                clock=lambda: self.now,
            )
        )
        port = self._server.enter_context(serve_app(self, http=Connection, log_config=None))
        self.endpoint = f"http://localhost:{port}/"

    def close(self) -> None:
        self.stop_answering()
        self._stack.close()

    def stop_answering(self) -> None:
        self._server.close()

    @property
    def jobs(self) -> list[JobRecord]:
        """All jobs, the oldest first."""
        jobs = [*self._parts.jobs.list_active(), *self._parts.jobs.list_finished(after=0)]
        return sorted(jobs, key=lambda job: job.create_time)

    @property
    def launch_calls(self) -> int:
        return sum(call.target.partition("?")[0].endswith(":launch") for call in self.calls)

    @property
    def updates(self) -> list[Any]:
        """The bodies of calls that cancel or drain."""
        return [call.json for call in self.calls if call.verb == "PUT"]

    def fault(self, method_id: str, word: str, *, count: int = 1, delay_sec: float = 0.0) -> None:
        """Queue a fault in the words of ``/emulator/faults``."""
        kind = FaultKind(word)
        self._answers.add(Fault(method_id=method_id, kind=kind, delay_sec=delay_sec), count)

    def add_job(self, name: str, state: str = "RUNNING", **document: Any) -> JobRecord:
        """Add a job, one second younger than the last one."""
        self.now += timedelta(seconds=1)
        return self._parts.jobs.create(
            project_id="my-project",
            region="us-central1",
            name=name,
            state=JobState(f"JOB_STATE_{state}"),
            document=document,
        )

    def end(self, job_id: str, outcome: Outcome) -> None:
        """Bring a job to an outcome."""
        for text in outcome.texts:
            self.add_message(job_id, text, outcome.importance)
        if outcome.document:
            self._parts.jobs.update_document(job_id, outcome.document)
        for state in _WAYS[outcome.state]:
            self.move(job_id, state)

    def move(self, job_id: str, state: str) -> None:
        self._parts.jobs.transition(job_id, JobState(f"JOB_STATE_{state}"))

    def add_message(
        self, job_id: str, text: str, importance: Importance = Importance.BASIC
    ) -> None:
        self._parts.jobs.add_message(job_id, importance, text)

    def set_metrics(self, job_id: str, metrics: Sequence[Mapping[str, Any]]) -> None:
        self._parts.recorder.record(job_id, MetricsEvent(metrics))

    # The methods that the service calls on its runner.

    def launch(self, job_id: str, launch: Launch) -> None:
        if self.outcomes:
            self.end(job_id, self.outcomes.popleft())

    def cancel(self, job_id: str) -> None:
        """Cancel nothing: there are no processes."""

    def drain(self, job_id: str) -> None:
        self.drained.append(job_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record a call, and serve lists in small pages."""
        query = scope["query_string"].decode()
        body = await _read_body(receive)
        self.calls.append(Call(scope["method"], f"{scope['path']}?{query}", body))
        if scope["method"] == "POST":
            self.now += timedelta(seconds=1)
        if scope["path"].endswith(("/jobs", "/messages")):
            scope = {**scope, "query_string": f"{query}&pageSize={_PAGE_SIZE}".encode()}
        whole: list[Message] = [{"type": "http.request", "body": body}]

        async def receive_whole() -> Message:
            return whole.pop() if whole else await receive()

        await self._parts.app(scope, receive_whole, send)


async def _read_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body
