"""The service with its real stores and apps, and a job runner that runs nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from launcher.emulator.connections import Connection
from launcher.emulator.daemon import shell_variables
from launcher.emulator.instance import EmulatorInfo
from launcher.emulator.runtime.events import Event
from launcher.emulator.runtime.launch import Launch
from launcher.emulator.service.discovery import Discovery
from launcher.emulator.service.faults import FaultQueue
from launcher.emulator.service.guard import LocalOnly
from launcher.emulator.service.job_store import JobStore
from launcher.emulator.service.methods import Methods
from launcher.emulator.storage.store import ObjectStore
from tests.launcher.service import open_parts
from tests.servers import serve_app
from tests.support import bare_environ

SPEC_PATH = "gs://templates/batch.json"
SPEC: Mapping[str, Any] = {
    "image": "local/batch",
    "sdkInfo": {"language": "PYTHON"},
    "metadata": {
        "name": "Batch",
        "parameters": [
            {"name": "input", "label": "In", "helpText": "In.", "regexes": ["^gs://.+$"]},
            {"name": "output", "label": "Out", "helpText": "Out."},
            {"name": "size", "label": "Size", "helpText": "Size.", "isOptional": True},
        ],
    },
    "defaultEnvironment": {"maxWorkers": 2, "machineType": "n1-standard-4"},
}


@dataclass
class RecordingRunner:
    """Runs nothing, but records the jobs to run; a cancellation waits for ``may_cancel``."""

    launched: list[Launch] = field(default_factory=list)
    launched_ids: list[str] = field(default_factory=list)
    executed: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    drained: list[str] = field(default_factory=list)
    may_cancel: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def launch(self, job_id: str, launch: Launch) -> None:
        if self.error:
            raise self.error
        self.launched.append(launch)
        self.launched_ids.append(job_id)

    def execute(self, job_id: str, job: Mapping[str, Any]) -> None:
        self.executed.append((job_id, job))

    def drain(self, job_id: str) -> None:
        self.drained.append(job_id)

    def cancel(self, job_id: str) -> None:
        assert self.may_cancel.wait(60)
        if self.error:
            raise self.error
        self.cancelled.append(job_id)


@dataclass(frozen=True)
class Local:
    """A local Dataflow without processes; every answer is checked against its schema."""

    http: TestClient
    jobs: JobStore
    store: ObjectStore
    runner: RecordingRunner
    record: Callable[[str, Event], None]
    methods: Methods

    def call(
        self, method: str, path: str, body: object = None, *, status: int = 200, **query: Any
    ) -> dict[str, Any]:
        """Call the API below the project and region of the tests; expect that status."""
        url = f"/v1b3/projects/p/locations/europe-west1/{path}"
        answer = self.http.request(method, url, json=body, params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    def launch(self, name: str = "job", *, status: int = 200, **parameter: Any) -> dict[str, Any]:
        """Launch the template of ``SPEC``, correctly unless ``parameter`` says otherwise."""
        launch = {
            "jobName": name,
            "containerSpecGcsPath": SPEC_PATH,
            "parameters": {"input": "gs://data/in", "output": "gs://data/out"},
        }
        body = {"launchParameter": {**launch, **parameter}}
        return self.call("POST", "flexTemplates:launch", body, status=status)

    def launch_id(self, name: str = "job") -> str:
        return self.launch(name)["job"]["id"]

    def write_spec(self, spec: object, name: str = "batch.json") -> str:
        content = spec if isinstance(spec, bytes) else orjson.dumps(spec)
        self.store.write("templates", name, content)
        return f"gs://templates/{name}"


@pytest.fixture
def local(tmp_path: Path, discovery: Discovery) -> Iterator[Local]:
    runner = RecordingRunner()
    with (
        closing(ObjectStore(tmp_path / "storage")) as store,
        open_parts(
            tmp_path,
            discovery,
            store=store,
            runner=runner,
            faults=FaultQueue(discovery.methods),
        ) as parts,
        TestClient(
            LocalOnly(parts.app, metadata_server=True), base_url="http://localhost:9100"
        ) as http,
    ):
        local = Local(http, parts.jobs, store, runner, parts.recorder.record, parts.methods)
        store.create_bucket("templates")
        local.write_spec(SPEC)
        yield local
        runner.may_cancel.set()


@pytest.fixture
def endpoint(local: Local) -> Iterator[str]:
    """The address of the service of ``local`` on its own port; ends with a slash."""
    with serve_app(local.http.app, http=Connection, log_config=None) as port:
        yield f"http://localhost:{port}/"


@pytest.fixture
def client_env(endpoint: str, tmp_path: Path) -> dict[str, str]:
    """An environment that points to the service, without the user's own settings."""
    port = int(endpoint.rstrip("/").rpartition(":")[2])
    info = EmulatorInfo(pid=0, dataflow_port=port, storage_port=port, data_dir=tmp_path)
    return bare_environ() | shell_variables(info, project="p")
