"""A storage server on a free port, and the clients that the tests drive it with."""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from launcher.emulator.service.guard import LocalOnly
from launcher.emulator.storage.app import build_storage_app
from launcher.emulator.storage.store import ObjectStore
from tests.servers import serve_app

_SERVE = """
import sys, socket, uvicorn
from pathlib import Path
from launcher.emulator.storage.app import build_storage_app
from launcher.emulator.storage.store import ObjectStore
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
app = build_storage_app(ObjectStore(Path(sys.argv[1])))
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
"""
_numbers = itertools.count()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    store = ObjectStore(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory) -> Iterator[str]:
    """The address of a server in a thread of this process, shared by all tests."""
    store = ObjectStore(tmp_path_factory.mktemp("gcs"))
    with serve_app(LocalOnly(build_storage_app(store))) as port:
        yield f"http://localhost:{port}"
    store.close()


@contextmanager
def serve(root: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """Run a separate server on `root` in another process."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process, f"http://localhost:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait(timeout=10)
        process.stdout.close()


@pytest.fixture
def server_process() -> Callable:
    return serve


def make_client(endpoint: str) -> storage.Client:
    return storage.Client(
        project="p",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": endpoint},
    )


@pytest.fixture
def connect() -> Callable[[str], storage.Client]:
    return make_client


@pytest.fixture
def client(endpoint) -> storage.Client:
    return make_client(endpoint)


@pytest.fixture
def bucket(client) -> storage.Bucket:
    """A new bucket on the shared server."""
    return client.create_bucket(f"bucket-{next(_numbers)}")


@pytest.fixture
def gcloud(endpoint, tmp_path) -> Callable[..., str]:
    """Run `gcloud storage`; returns its standard output, raises RuntimeError with the other."""
    if shutil.which("gcloud") is None:
        pytest.skip("gcloud is not on PATH")
    environment = os.environ | {
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{endpoint}/storage/v1/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_PROJECT": "p",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
    }

    def run(*arguments: str) -> str:
        ran = subprocess.run(
            ["gcloud", "storage", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if ran.returncode:
            raise RuntimeError(ran.stderr)
        return ran.stdout

    return run
