"""The console's application on the local services of the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from google.cloud import storage
from starlette.testclient import TestClient

from launcher.console.apis import Apis, Endpoints
from launcher.console.app import build_app
from launcher.emulator.daemon import EmulatorInfo
from tests.support import PROJECT, open_storage

HOST = "http://localhost:9103"


@pytest.fixture(scope="session")
def apis(emulator: EmulatorInfo) -> Apis:
    return Apis(
        Endpoints(
            dataflow=emulator.dataflow_endpoint.rstrip("/"),
            storage=emulator.storage_endpoint,
            pubsub=f"http://{emulator.pubsub_host}" if emulator.pubsub_host else None,
        )
    )


@pytest.fixture(scope="session")
def console(apis: Apis) -> Iterator[TestClient]:
    """A browser's requests to the console, without a browser."""
    app = build_app(apis, PROJECT)
    with TestClient(app, base_url=HOST, headers={"Origin": HOST}, follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="session")
def bucket(emulator: EmulatorInfo) -> storage.Bucket:
    return open_storage(emulator).create_bucket("flexpack-console")


@pytest.fixture(scope="session")
def put(bucket: storage.Bucket) -> Callable[[str, bytes | str], str]:
    """Upload an object and return its path."""

    def put(name: str, content: bytes | str) -> str:
        bucket.blob(name).upload_from_string(content)
        return f"gs://{bucket.name}/{name}"

    return put
