"""A Dataflow that plays faults, and a Cloud Storage beside it."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from launcher import Dataflow, LaunchConfig
from launcher.cli import main
from launcher.emulator.storage.app import build_storage_app
from launcher.emulator.storage.store import ObjectStore
from tests.schemas import Schemas
from tests.servers import QuietHandler, serve_app, serve_handler

_IMPORTANCES = ("DEBUG", "DETAILED", "BASIC", "WARNING", "ERROR")


class FaultyDataflow:
    """A Dataflow over real HTTP that plays queued faults and counts the jobs it created.

    Launch faults: ``drop-before`` and ``drop-after`` close the connection without an answer, with
    the job not created or created; ``drop-late`` creates it only when the next launch arrives;
    ``hang`` creates it and never answers; ``503-before``, ``503-after``, ``429``, ``400``;
    ``garbage`` creates it and answers no JSON.
    Read faults: a status code, with a message or without, or 0 to close the connection.
    Update faults: a status code and a message, or a page where it begins with ``<``.
    """

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.launch_faults: deque[str] = deque()
        self.read_faults: deque[int | tuple[int, str]] = deque()
        self.read_faults_after_launch: deque[int | tuple[int, str]] = deque()
        self.update_faults: deque[tuple[int, str]] = deque()
        self.calls: list[tuple[str, str]] = []
        self.shows_labels = True
        self.messages: list[dict[str, Any]] = []
        self.earlier_messages: list[dict[str, Any]] = []  # before the outcome's
        self.metrics: list[dict[str, Any]] = []
        self.page_size = 2
        self.new_job_fields: dict[str, Any] = {}  # of every job that is launched
        self.outcomes: list[tuple[str, str]] = []  # state and message of each job that is launched
        self.importance = "JOB_MESSAGE_BASIC"  # of the message of a job that has not failed
        self.gives_up = threading.Event()
        self._late: dict[str, Any] | None = None
        service = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                service._read(self)

            def do_POST(self) -> None:
                service._launch(self)

            def do_PUT(self) -> None:
                service._update(self)

        self._server = ExitStack()
        port = self._server.enter_context(serve_handler(Handler))
        self.endpoint = f"http://localhost:{port}/"

    @property
    def launch_calls(self) -> int:
        return sum(method == "POST" for method, _ in self.calls)

    def close(self) -> None:
        self.gives_up.set()
        self._server.close()

    def add_job(self, name: str, **fields: Any) -> dict[str, Any]:
        number = len(self.jobs) + 1
        job = {
            "id": f"2026-11-22_05_00_00-{number}",
            "name": name,
            "projectId": "my-project",
            "location": "us-central1",
            "createTime": f"2026-11-22T13:00:{number:02}Z",
            "currentStateTime": "1970-01-01T00:00:00Z",
            **fields,
        }
        self.jobs.append(job)
        return job

    def _launch(self, handler: QuietHandler) -> None:
        self.calls.append(("POST", handler.path))
        body = json.loads(handler.read_body())
        parameter = body["launchParameter"]
        if self._late is not None:
            self._create(self._late)
            self._late = None
        fault = self.launch_faults.popleft() if self.launch_faults else ""
        if fault == "400":
            violation = {"parameter": "input", "description": "Missing required parameter"}
            _answer_error(
                handler,
                400,
                "The template parameters are invalid. Details: \ninput: Missing required parameter",
                details=[{"@type": "x", "parameterViolations": [violation]}],
            )
        elif fault in ("429", "503-before"):
            _answer_error(handler, int(fault[:3]), "not now")
        elif fault == "drop-before":
            handler.close_connection = True
        elif fault == "drop-late":
            self._late = parameter
            handler.close_connection = True
        elif any(
            job["name"] == parameter["jobName"] and "currentState" not in job for job in self.jobs
        ):
            _answer_error(
                handler, 409, f"There is already an active job named {parameter['jobName']}."
            )
        else:
            job = self._create(parameter)
            if fault == "drop-after":
                handler.close_connection = True
            elif fault == "hang":
                self.gives_up.wait(20)
                handler.close_connection = True
            elif fault == "503-after":
                _answer_error(handler, 503, "lost it")
            elif fault == "no-job":
                handler.answer(200, b"{}")
            elif fault == "garbage":
                handler.answer(200, b"<html>")
            else:
                handler.answer(200, json.dumps({"job": _without_labels(job)}).encode())

    def _create(self, parameter: dict[str, Any]) -> dict[str, Any]:
        labels = parameter.get("environment", {}).get("additionalUserLabels", {})
        fields = dict(self.new_job_fields)
        if self.outcomes:
            fields["currentState"], text = self.outcomes.pop(0)
            importance = (
                "JOB_MESSAGE_ERROR" if "FAILED" in fields["currentState"] else self.importance
            )
            message = {"messageText": text, "messageImportance": importance}
            self.messages = [*self.earlier_messages, *([message] if text else [])]
        location = self.calls[-1][1].split("/")[5]
        return self.add_job(parameter["jobName"], labels=labels, location=location, **fields)

    def _read(self, handler: QuietHandler) -> None:
        self.calls.append(("GET", handler.path))
        faults = self.read_faults_after_launch if self.launch_calls else self.read_faults
        if faults:
            fault = faults.popleft()
            status, message = fault if isinstance(fault, tuple) else (fault, "not now")
            if status:
                _answer_error(handler, status, message)
            else:
                handler.close_connection = True
            return
        url = urlsplit(handler.path)
        query = parse_qs(url.query)
        match = re.fullmatch(
            r"/v1b3/projects/[^/]+/locations/[^/]+/jobs(/([^/]+)(/.+)?)?", url.path
        )
        assert match, url.path
        job_id, part = match[2], match[3]
        if job_id is None:
            jobs = [
                _without_labels(job)
                for job in reversed(self.jobs)
                if job["name"] in query.get("name", [job["name"]])
            ]
            self._answer_page(handler, "jobs", jobs, query)
        elif part == "/messages":
            levels = [f"JOB_MESSAGE_{name}" for name in _IMPORTANCES]
            least = levels.index(query["minimumImportance"][0])
            reported = [
                message
                for message in self.messages
                if levels.index(message.get("messageImportance", "JOB_MESSAGE_BASIC")) >= least
            ]
            self._answer_page(handler, "jobMessages", reported, query)
        elif part == "/metrics":
            handler.answer(200, json.dumps({"metrics": self.metrics}).encode())
        else:
            found = [job for job in self.jobs if job["id"] == job_id]
            if found:
                job = found[0] if self.shows_labels else _without_labels(found[0])
                handler.answer(200, json.dumps(job).encode())
            else:
                _answer_error(handler, 404, f"Information about job {job_id} could not be found.")

    def _answer_page(
        self, handler: QuietHandler, key: str, items: list[Any], query: dict[str, Any]
    ) -> None:
        start = int(query.get("pageToken", ["0"])[0])
        page: dict[str, Any] = {key: items[start : start + self.page_size]}
        if start + self.page_size < len(items):
            page["nextPageToken"] = str(start + self.page_size)
        handler.answer(200, json.dumps(page).encode())

    def _update(self, handler: QuietHandler) -> None:
        body = json.loads(handler.read_body())
        self.calls.append(("PUT", json.dumps(body)))
        if self.update_faults:
            status, message = self.update_faults.popleft()
            if message.startswith("<"):
                handler.answer(status, message.encode())
            else:
                _answer_error(handler, status, message)
        else:
            # As recorded of the service in public, and nothing more.
            handler.answer(200, b'{"type": "JOB_TYPE_BATCH"}')


def _without_labels(job: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in job.items() if key != "labels"}


def _answer_error(
    handler: QuietHandler, status: int, message: str, details: list[Any] | None = None
) -> None:
    names = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 409: "ALREADY_EXISTS", 503: "UNAVAILABLE"}
    error: dict[str, Any] = {"code": status, "message": message, "status": names.get(status, "")}
    if details:
        error["details"] = details
    handler.answer(status, json.dumps({"error": error}).encode())


@dataclass(frozen=True)
class Storage:
    """A Cloud Storage over real HTTP that holds one bucket, ``my-bucket``."""

    endpoint: str
    store: ObjectStore


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    store = ObjectStore(tmp_path / "storage")
    store.create_bucket("my-bucket")
    with serve_app(build_storage_app(store)) as port:
        yield Storage(f"http://127.0.0.1:{port}", store)
    store.close()


@pytest.fixture
def schemas() -> Schemas:
    return Schemas()


@pytest.fixture
def service() -> Iterator[FaultyDataflow]:
    service = FaultyDataflow()
    yield service
    service.close()


@pytest.fixture
def naps() -> list[float]:
    """The sleeps of the client under test, which it does not sleep."""
    return []


@pytest.fixture
def dataflow(service: FaultyDataflow, naps: list[float]) -> Dataflow:
    return Dataflow(
        "my-project",
        "us-central1",
        endpoint=service.endpoint,
        timeout_sec=2,
        sleep=naps.append,
    )


@pytest.fixture
def config() -> LaunchConfig:
    return LaunchConfig(
        job_name="fashion",
        template_file_gcs_location="gs://my-bucket/templates/batch.json",
        project="my-project",
        region="us-central1",
        parameters={"input": "gs://my-bucket/a,b=c.csv"},
        launch_id="launch-1",
    )


@pytest.fixture
def bare_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that names no project, region or endpoint."""
    for name in (
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW",
        "CLOUDSDK_CORE_PROJECT",
        "CLOUDSDK_DATAFLOW_REGION",
        "GOOGLE_CLOUD_PROJECT",
        "STORAGE_EMULATOR_HOST",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cloud(
    bare_shell: None,
    monkeypatch: pytest.MonkeyPatch,
    service: FaultyDataflow,
    storage: Storage,
) -> FaultyDataflow:
    """A Dataflow and a Cloud Storage, found by the variables that gcloud uses."""
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW", service.endpoint)
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", "my-project")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.endpoint)
    return service


@pytest.fixture
def flexpack(
    bare_shell: None, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command; return its exit status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(arguments)
        output = capsys.readouterr()
        return status, output.out, output.err

    return run
