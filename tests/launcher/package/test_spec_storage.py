"""Container specs in Cloud Storage."""

from __future__ import annotations

import json
import socket

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from launcher import (
    InputError,
    SpecConflict,
    SpecError,
    StorageError,
    build_container_spec,
    build_template_metadata,
    download_spec,
    upload_spec,
)
from launcher.emulator.storage.records import ObjectRef
from launcher.google.storage import check_bucket
from launcher.package.spec import format_spec
from template.parameters import BATCH
from tests.servers import QuietHandler, serve_handler

SPEC = build_container_spec(image="image:1", metadata=build_template_metadata(BATCH))
OTHER = build_container_spec(image="image:2", metadata=build_template_metadata(BATCH))
PATH = "gs://my-bucket/templates/batch.json"


def connect(endpoint, session=None):
    return Client(
        project="my-project",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": endpoint},
        _http=session,
    )


@pytest.fixture
def client(storage):
    return connect(storage.endpoint)


def test_written_and_read(storage, client):
    generation = upload_spec(SPEC, PATH, client=client)

    stored = storage.store.stat(ObjectRef(bucket="my-bucket", name="templates/batch.json"))
    assert stored.generation == generation
    assert stored.content_type == "application/json"
    assert storage.store.read("my-bucket", "templates/batch.json") == format_spec(SPEC).encode()
    assert download_spec(PATH, client=client) == SPEC


def test_a_newer_spec_replaces_the_older(client):
    first = upload_spec(SPEC, PATH, client=client)
    second = upload_spec(OTHER, PATH, client=client)

    assert second > first
    assert download_spec(PATH, client=client) == OTHER


def test_the_environment_leads_to_the_emulator_without_credentials(storage, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.endpoint)

    upload_spec(SPEC, PATH)

    assert download_spec(PATH) == SPEC


@pytest.mark.parametrize("is_there", [False, True])
def test_a_concurrent_writer_is_not_overwritten(storage, client, is_there):
    if is_there:
        upload_spec(SPEC, PATH, client=client)

    def write_between(response, **_):
        if response.request.method == "GET" and "alt=media" not in response.url:
            storage.store.write("my-bucket", "templates/batch.json", b"somebody else's")

    session = requests.Session()
    session.hooks["response"].append(write_between)
    with pytest.raises(SpecConflict, match=f"TEMPLATE_FILE_GCS_PATH {PATH}: the object changed"):
        upload_spec(OTHER, PATH, client=connect(storage.endpoint, session))

    assert storage.store.read("my-bucket", "templates/batch.json") == b"somebody else's"


def test_a_write_whose_answer_is_lost_is_no_conflict(storage):
    lost = []

    def lose_first_upload(response, **_):
        if response.request.method == "POST" and not lost:
            lost.append(response.status_code)
            raise requests.ConnectionError("dropped")

    session = requests.Session()
    session.hooks["response"].append(lose_first_upload)
    generation = upload_spec(SPEC, PATH, client=connect(storage.endpoint, session))

    assert lost == [200]
    stored = storage.store.stat(ObjectRef(bucket="my-bucket", name="templates/batch.json"))
    assert stored.generation == generation


def test_a_missing_bucket_is_named(client):
    with pytest.raises(InputError, match="no bucket 'other'; correct its name, or create it"):
        upload_spec(SPEC, "gs://other/batch.json", client=client)


def test_a_missing_object_is_named(client):
    with pytest.raises(InputError) as caught:
        download_spec(PATH, client=client)
    assert str(caught.value) == (
        f"--template-file-gcs-location {PATH}: there is no such object; 'flexpack build' writes it"
    )


@pytest.mark.parametrize("path", ["batch.json", "gs://my-bucket", "gs://my-bucket/", "s3://b/c"])
def test_another_kind_of_path_is_refused(client, path):
    with pytest.raises(InputError, match="expected a Cloud Storage object, gs://BUCKET/PATH"):
        upload_spec(SPEC, path, client=client)
    with pytest.raises(InputError, match="--template-file-gcs-location"):
        download_spec(path, client=client)


@pytest.mark.parametrize("data", [b"{", b"\xff", json.dumps({"name": "classic"}).encode()])
def test_what_is_no_spec_is_refused_by_its_path(storage, client, data):
    storage.store.write("my-bucket", "templates/batch.json", data)
    with pytest.raises(SpecError, match=f"--template-file-gcs-location {PATH}: no container spec"):
        download_spec(PATH, client=client)


def test_a_refusal_says_what_is_needed():
    class Forbidding(QuietHandler):
        def do_GET(self):
            error = {"code": 403, "message": "ann does not have storage.objects.get"}
            self.answer(403, json.dumps({"error": error}).encode())

    with serve_handler(Forbidding) as port:
        client = connect(f"http://127.0.0.1:{port}")
        for act in (
            lambda: download_spec(PATH, client=client),
            lambda: upload_spec(SPEC, PATH, client=client),
        ):
            with pytest.raises(StorageError, match=r"objects\.get.*roles/storage.objectUser"):
                act()
        check_bucket("my-bucket", client=client)  # a caller without read permission may still write


def test_a_missing_answer_is_reported(storage):
    client = connect("http://127.0.0.1:1")
    with pytest.raises(
        StorageError,
        match=r"no connection to https://storage\.googleapis\.com/, or the connection dropped",
    ):
        download_spec(PATH, client=client, retry_for_sec=0.1)


def test_a_local_storage_that_was_stopped_is_reported_without_a_retry(monkeypatch):
    with socket.create_server(("localhost", 0)) as listener:
        server = f"http://localhost:{listener.getsockname()[1]}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    with pytest.raises(StorageError, match=f"STORAGE_EMULATOR_HOST {server}: nothing answers"):
        upload_spec(SPEC, PATH)
