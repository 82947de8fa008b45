"""A Dataflow and a Cloud Storage in the tests' own process, and the command that uses them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from launcher import Dataflow, LaunchConfig
from launcher.cli import main
from launcher.emulator.service.discovery import Discovery, load_discovery
from launcher.emulator.storage.app import build_storage_app
from launcher.emulator.storage.store import ObjectStore
from tests.launcher.service import Service
from tests.schemas import Schemas
from tests.servers import serve_app
from tests.support import bare_environ

SPEC = {
    "image": "h/i:1",
    "sdkInfo": {"language": "PYTHON"},
    "metadata": {
        "name": "Batch",
        "parameters": [{"name": "input", "label": "In", "helpText": "In."}],
    },
}


@dataclass(frozen=True)
class Storage:
    """A Cloud Storage over real HTTP that holds one bucket, ``my-bucket``."""

    endpoint: str
    store: ObjectStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    with closing(ObjectStore(tmp_path / "storage")) as store:
        store.create_bucket("my-bucket")
        yield store


@pytest.fixture
def storage(store: ObjectStore) -> Iterator[Storage]:
    with serve_app(build_storage_app(store)) as port:
        yield Storage(f"http://127.0.0.1:{port}", store)


@pytest.fixture
def schemas() -> Schemas:
    return Schemas()


@pytest.fixture(scope="session")
def discovery() -> Discovery:
    return load_discovery()


@pytest.fixture
def service(tmp_path: Path, discovery: Discovery, store: ObjectStore) -> Iterator[Service]:
    """A Dataflow of ``my-project`` that has the template of ``config``."""
    store.write("my-bucket", "templates/batch.json", json.dumps(SPEC).encode())
    with closing(Service(tmp_path, discovery, store)) as service:
        yield service


@pytest.fixture
def naps() -> list[float]:
    """The sleeps that the client under test requests, recorded instead of slept."""
    return []


@pytest.fixture
def dataflow(service: Service, naps: list[float]) -> Dataflow:
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
    for name in os.environ.keys() - bare_environ().keys():
        monkeypatch.delenv(name)


@pytest.fixture
def cloud(
    bare_shell: None,
    monkeypatch: pytest.MonkeyPatch,
    service: Service,
    storage: Storage,
) -> Service:
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
