"""Only programs on this machine are answered."""

from __future__ import annotations

import pytest

from tests.launcher.emulator.service.conftest import Local

URL = "/v1b3/projects/p/jobs:aggregated"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9100", "127.0.0.1:1", "[::1]:9100"])
def test_local_hosts_are_answered(local: Local, host: str) -> None:
    assert local.http.get(URL, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "[", "0.0.0.0"]
)
def test_foreign_hosts_are_refused(local: Local, host: str) -> None:
    answer = local.http.get(URL, headers={"Host": host})
    assert answer.status_code == 403
    assert answer.json()["error"]["status"] == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:3000", "http://localhost"]
)
def test_web_pages_are_refused(local: Local, origin: str) -> None:
    path = "/v1b3/projects/p/locations/r/flexTemplates:launch"
    answer = local.http.post(path, json={}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "Origin" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("site", "status"),
    [("cross-site", 403), ("same-site", 403), ("none", 200), ("same-origin", 200)],
)
def test_what_a_page_embeds_is_refused(local: Local, site: str, status: int) -> None:
    # A request for an image or a script comes from another site without an Origin.
    assert local.http.get(URL, headers={"Sec-Fetch-Site": site}).status_code == status


def test_the_own_origin_is_answered(local: Local) -> None:
    headers = {"Host": "localhost:9100", "Origin": "http://localhost:9100"}
    assert local.http.get(URL, headers=headers).status_code == 200


METADATA = {"Host": "metadata.google.internal:9100", "Metadata-Flavor": "Google"}


@pytest.mark.parametrize(
    "path", ["/", "/computeMetadata/v1/instance/", "/computeMetadata/v1/project/project-id"]
)
def test_the_metadata_server_is_answered_by_its_name(local: Local, path: str) -> None:
    assert local.http.get(path, headers=METADATA).status_code == 200
    origin = {"Origin": "http://metadata.google.internal:9100"}
    assert local.http.get(path, headers=METADATA | origin).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        URL,
        "//v1b3/projects/p/jobs:aggregated",
        "/computeMetadata/../v1b3/projects/p/jobs:aggregated",
        "/computeMetadata%2F..%2Fv1b3/projects/p/jobs:aggregated",
        "/computeMetadataX",
        "/emulator/faults",
        "/emulator/identity",
        "/emulator/projects",
    ],
)
def test_nothing_else_is_answered_by_that_name(local: Local, path: str) -> None:
    assert local.http.get(path, headers=METADATA).status_code in (403, 404)
    assert local.http.get(path, headers=METADATA | {"Sec-Fetch-Site": "none"}).status_code in (
        403,
        404,
    )


def test_a_page_of_that_name_launches_nothing(local: Local) -> None:
    answer = local.http.post(
        "/v1b3/projects/p/locations/r/flexTemplates:launch",
        content=b'{"launchParameter": {"jobName": "evil"}}',
        headers={
            "Host": "metadata.google.internal:9100",
            "Origin": "http://metadata.google.internal:9100",
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "text/plain",
        },
    )
    assert answer.status_code == 403
    assert local.http.get(URL).json() == {}


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_no_answer_is_rendered_or_run(local: Local, host: str) -> None:
    headers = local.http.get(URL, headers={"Host": host}).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in headers["Content-Security-Policy"]
