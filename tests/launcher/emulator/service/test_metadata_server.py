"""The metadata server answers as GCE's does."""

from __future__ import annotations

import pytest

from launcher.emulator.service.metadata_server import project_number
from tests.launcher.emulator.service.conftest import Local

FLAVOR = {"Metadata-Flavor": "Google"}


def test_pings_need_no_header(local: Local) -> None:
    answer = local.http.get("/")
    assert answer.status_code == 200
    assert answer.headers["Metadata-Flavor"] == "Google"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("project/project-id", "p"),
        ("project/numeric-project-id", str(project_number("p"))),
        ("universe/universe-domain", "googleapis.com"),
        ("instance/service-accounts/default/email", "worker@local-dataflow"),
        ("instance/service-accounts/", "default/\nworker@local-dataflow/\n"),
        ("instance/zone", f"projects/{project_number('p')}/zones/us-central1-a"),
    ],
)
def test_values(local: Local, path: str, expected: str) -> None:
    answer = local.http.get(f"/computeMetadata/v1/{path}", headers=FLAVOR)
    assert answer.text == expected
    assert answer.headers["Metadata-Flavor"] == "Google"
    assert answer.headers["Content-Type"] == "application/text"


def test_service_account(local: Local) -> None:
    account = local.http.get(
        "/computeMetadata/v1/instance/service-accounts/default/",
        params={"recursive": "true"},
        headers=FLAVOR,
    ).json()
    assert set(account) == {"aliases", "email", "scopes"}
    token = local.http.get(
        f"/computeMetadata/v1/instance/service-accounts/{account['email']}/token", headers=FLAVOR
    ).json()
    assert set(token) == {"access_token", "expires_in", "token_type"}


def test_without_the_header_nothing_is_answered(local: Local) -> None:
    answer = local.http.get("/computeMetadata/v1/project/project-id")
    assert answer.status_code == 403
    assert answer.headers["Metadata-Flavor"] == "Google"


@pytest.mark.parametrize("path", ["nothing", "project/project-id/x", "instance/attributes/"])
def test_what_there_is_not(local: Local, path: str) -> None:
    assert local.http.get(f"/computeMetadata/v1/{path}", headers=FLAVOR).status_code == 404
