"""A job runner with the real object store and metadata server, whose reports are recorded."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from launcher.emulator.runtime.events import (
    Event,
    MessageEvent,
    MetricsEvent,
    StagedEvent,
    StateEvent,
)
from launcher.emulator.runtime.images import ImageRegistry, load_images
from launcher.emulator.runtime.job_runner import JobRunner
from launcher.emulator.runtime.launch import Launch
from launcher.emulator.service.metadata_server import metadata_routes
from launcher.emulator.storage.app import build_storage_app
from launcher.emulator.storage.store import ObjectStore
from tests.servers import serve_app

TERMINAL = ("JOB_STATE_DONE", "JOB_STATE_FAILED")
TIMEOUT_SEC = 90


@dataclass
class Journal:
    """What happened to one job."""

    states: list[str] = field(default_factory=list)
    messages: list[tuple[str, str]] = field(default_factory=list)
    metrics: Sequence[Mapping[str, Any]] = ()
    job: Mapping[str, Any] | None = None

    def texts(self, importance: str | None = None) -> str:
        return "\n".join(text for given, text in self.messages if importance in (None, given))

    def metric(self, name: str, *, tentative: bool = False, **context: str) -> Any:
        """Return the value of the one metric of that name and context."""
        found = [
            update.get("scalar", update.get("distribution"))
            for update in self.metrics
            if update["name"]["name"] == name
            and ("tentative" in update["name"]["context"]) == tentative
            and context.items() <= update["name"]["context"].items()
        ]
        assert len(found) == 1, (name, found)
        return found[0]


class Journals:
    """Journals by job id, written by ``record``."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._journals: defaultdict[str, Journal] = defaultdict(Journal)

    def record(self, job_id: str, event: Event) -> None:
        with self._changed:
            journal = self._journals[job_id]
            match event:
                case StagedEvent(job):
                    journal.job = job
                case StateEvent(state):
                    journal.states.append(state)
                case MessageEvent(importance, text):
                    journal.messages.append((importance, text))
                case MetricsEvent(metrics):
                    journal.metrics = metrics
            self._changed.notify_all()

    def wait_for(self, job_id: str, condition: Callable[[Journal], Any]) -> Journal:
        with self._changed:
            journal = self._journals[job_id]
            ended = self._changed.wait_for(
                lambda: condition(journal) or set(journal.states) & set(TERMINAL), TIMEOUT_SEC
            )
            assert ended, journal
            assert condition(journal), journal
            return journal

    def wait(self, job_id: str) -> Journal:
        return self.wait_for(job_id, lambda journal: set(journal.states) & set(TERMINAL))


@dataclass(frozen=True)
class Bench:
    """Everything that a test of the job runner works with."""

    store: ObjectStore
    journals: Journals
    runner: JobRunner
    endpoints: Mapping[str, str]
    templates: Path
    runs_dir: Path

    def build_launch(self, entry_file: str, **changes: Any) -> Launch:
        fields: dict[str, Any] = {
            "job_name": "test-job",
            "project_id": "test-project",
            "region": "us-central1",
            "image": f"test/{entry_file}",
            "parameters": {},
            "runtime_environment": {"sdkContainerImage": f"test/{entry_file}"},
            "staging_location": "gs://staging/here",
            "temp_location": "gs://staging/temp",
            "launch_timeout_sec": 60.0,
        }
        return Launch(**fields | changes)

    def run(self, entry_file: str, job_id: str, **changes: Any) -> Journal:
        """Launch a template and wait for its end."""
        self.runner.launch(job_id, self.build_launch(entry_file, **changes))
        return self.journals.wait(job_id)

    def console_logs(self, job_id: str) -> str:
        name = f"here/template_launches/{job_id}/console_logs"
        return self.store.read("staging", name).decode()


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of the test images."""
    from tests.launcher.emulator.runtime.templates import SOURCES

    folder = tmp_path_factory.mktemp("templates")
    for name, source in SOURCES.items():
        (folder / name).write_text(source)
    return folder


@pytest.fixture(scope="session")
def registry(templates: Path) -> ImageRegistry:
    """An image for every entry file, by images.toml."""
    entries = [
        f'["test/{path.name}"]\nworkdir = "."\n'
        f'env = {{ FLEX_TEMPLATE_PYTHON_PY_FILE = "{path.name}" }}\n'
        for path in sorted(templates.glob("*.py"))
    ]
    entries.append('["test/without-entry-file"]\nworkdir = "."\n')
    entries.append(
        '["test/missing.py"]\nworkdir = "."\n'
        'env = { FLEX_TEMPLATE_PYTHON_PY_FILE = "missing.py" }\n'
    )
    broken = templates / "python"
    broken.write_text("#!/bin/sh\necho no Beam here\nexit 3\n")
    broken.chmod(0o755)
    entries.append(f'["test/does-not-start"]\npython = "./{broken.name}"\n')
    path = templates / "images.toml"
    path.write_text("\n".join(entries))
    return load_images(path, workdir=templates)


@pytest.fixture(scope="session")
def bench(
    tmp_path_factory: pytest.TempPathFactory, templates: Path, registry: ImageRegistry
) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("runtime")
    store = ObjectStore(folder / "storage")
    store.create_bucket("staging")
    routes = metadata_routes(project_id="test-project", zone="us-central1-a")
    servers = ExitStack()
    storage = servers.enter_context(serve_app(build_storage_app(store)))
    metadata = servers.enter_context(serve_app(Starlette(routes=routes)))
    endpoints = {
        "STORAGE_EMULATOR_HOST": f"http://localhost:{storage}",
        "GCE_METADATA_HOST": f"localhost:{metadata}",
        "GCE_METADATA_IP": f"127.0.0.1:{metadata}",
        "GCE_METADATA_ROOT": f"127.0.0.1:{metadata}",
    }
    journals = Journals()
    runner = JobRunner(
        store=store,
        images=registry,
        endpoints=endpoints,
        report=journals.record,
        runs_dir=folder / "runs",
    )
    yield Bench(store, journals, runner, endpoints, templates, folder / "runs")
    runner.close()
    servers.close()
    store.close()
