"""Only local programs get in, large requests are refused, and files elsewhere are not touched."""

from __future__ import annotations

import http.client
import json
import socket
from urllib.parse import quote

import pytest

from tests.contract.conftest import REGION, LocalDataflow
from tests.support import PROJECT

JOBS = f"/v1b3/projects/{PROJECT}/locations/{REGION}/jobs"
LAUNCH = f"/v1b3/projects/{PROJECT}/locations/{REGION}/flexTemplates:launch"
MIB = 1 << 20


def call(
    port: int, verb: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, str]:
    """Send one request exactly as written; return status and text of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(verb, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture
def ports(local_dataflow: LocalDataflow) -> tuple[int, int]:
    return local_dataflow.info.dataflow_port, local_dataflow.info.storage_port


def test_only_the_loopback_interface_listens(ports: tuple[int, int]) -> None:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # It sends nothing, because only the address is needed.
            address = probe.getsockname()[0]
    except OSError:
        pytest.skip("this machine has no address but the loopback's")
    for port in ports:
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=2):
            pass


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example:9100"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
    ],
)
def test_web_pages_and_foreign_names_are_refused_on_both_ports(
    local_dataflow: LocalDataflow, ports: tuple[int, int], headers: dict[str, str]
) -> None:
    before = local_dataflow.call("GET", "jobs")
    launch = {"jobName": "evil", "containerSpecGcsPath": local_dataflow.spec_path("count.py")}
    body = json.dumps({"launchParameter": launch}).encode()
    for port, verb, path, content in (
        (ports[0], "POST", LAUNCH, body),
        (ports[0], "POST", "/emulator/faults", b"{}"),
        (ports[0], "GET", "/computeMetadata/v1/?recursive=true", None),
        (ports[1], "POST", "/storage/v1/b?project=p", b'{"name": "evil"}'),
        (ports[1], "GET", f"/storage/v1/b/{local_dataflow.bucket.name}/o", None),
    ):
        status, text = call(port, verb, path, content, **headers)
        assert (status, "PERMISSION_DENIED" in text) == (403, True), text
    assert local_dataflow.call("GET", "jobs") == before


def test_large_bodies_are_refused(local_dataflow: LocalDataflow, ports: tuple[int, int]) -> None:
    large = b" " * (20 * MIB + 1)
    bucket = local_dataflow.bucket.name
    uploads = f"/upload/storage/v1/b/{bucket}/o"
    part = b"--x\r\nContent-Type: application/json\r\n\r\n" + large
    for port, verb, path, body, headers in (
        (ports[0], "POST", LAUNCH, large, {}),
        (ports[0], "POST", "/emulator/faults", large, {}),
        (ports[1], "POST", "/storage/v1/b?project=p", large, {}),
        (ports[1], "POST", f"{uploads}?uploadType=resumable&name=a", large, {}),
        (ports[1], "POST", "/batch/storage/v1", large, {}),
        (
            *(ports[1], "POST", f"{uploads}?uploadType=multipart", part),
            {"Content-Type": "multipart/related; boundary=x"},
        ),
    ):
        status, text = call(port, verb, path, body, **headers)
        assert status == 413, (path, text)


@pytest.mark.parametrize("place", ["projects/P", f"projects/{'p' * 100}", "projects/..%2Fp"])
def test_names_of_projects_and_regions(ports: tuple[int, int], place: str) -> None:
    status, text = call(ports[0], "GET", f"/v1b3/{place}/locations/{REGION}/jobs")
    assert status in (400, 404), text
    status, text = call(ports[0], "GET", f"/v1b3/{place}/jobs:aggregated?location=..")
    assert status in (400, 404), text


def test_no_name_leads_out_of_the_data_folder(
    local_dataflow: LocalDataflow, ports: tuple[int, int]
) -> None:
    folder = local_dataflow.info.data_dir
    above = {path for path in folder.parent.rglob("*") if not path.is_relative_to(folder)}
    bucket = local_dataflow.bucket.name
    names = [
        "../../../../out",
        "/etc/out",
        "a/../../../../out",
        "..\\..\\out",
        "%2e%2e/out",
        "\0out",
    ]
    for name in names:
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}"
        status, text = call(ports[1], "POST", path, b"mine")
        assert status in (200, 400), text
        if status == 200:
            path = f"/download/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media"
            assert call(ports[1], "GET", path) == (200, "mine")
    for name in ("..", "../out", "a/../../out", "/etc"):
        status, text = call(
            ports[1], "POST", "/storage/v1/b?project=p", json.dumps({"name": name}).encode()
        )
        assert status == 400, text
    for path in ("/storage/v1/b/..%2F..%2Fout/o/x", f"/storage/v1/b/{bucket}/o/../../../x"):
        assert call(ports[1], "GET", path)[0] == 404

    # A job that tries to have its packages written elsewhere.
    local_dataflow.bucket.blob("package").upload_from_string("mine")
    package = {"name": "../../../out", "location": f"storage.googleapis.com/{bucket}/package"}
    local_dataflow.bucket.blob("pipeline.pb").upload_from_string(b"")
    options = {"pipelineUrl": f"gs://{bucket}/pipeline.pb"}
    job = local_dataflow.call(
        "POST",
        "jobs",
        {
            "name": "packages",
            "environment": {
                "workerPools": [{"packages": [package]}],
                "sdkPipelineOptions": {"options": options},
            },
        },
    )
    assert local_dataflow.wait(job["id"])["currentState"] == "JOB_STATE_FAILED"
    assert "'../../../out' is not a file name" in "".join(local_dataflow.texts(job["id"]))

    after = {path for path in folder.parent.rglob("*") if not path.is_relative_to(folder)}
    assert after == above
