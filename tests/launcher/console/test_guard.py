"""Who may talk to the console, by what a browser sends."""

from __future__ import annotations

import re

import pytest

from tests.launcher.console.conftest import HOST

FOREIGN = "http://evil.example"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Host": "evil.example:9103"}, id="a name that resolves here"),
        pytest.param({"Host": "metadata.google.internal"}, id="the metadata server's name"),
        pytest.param({"Host": "localhost.evil.example"}, id="a name that begins like ours"),
        pytest.param({"Host": "[::1"}, id="no name at all"),
        pytest.param({"Origin": FOREIGN}, id="another origin"),
        pytest.param({"Origin": "null"}, id="a sandboxed page"),
        pytest.param({"Origin": "http://localhost:9999"}, id="another port"),
        pytest.param({"Origin": "https://localhost:9103"}, id="another scheme"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="another site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, id="another port, by the browser's mark"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_others_are_refused(console, method, headers):
    answer = console.request(method, "/launch", headers=headers)
    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_change_needs_the_consoles_own_origin(console):
    answer = console.post("/launch", headers={"Origin": ""})
    assert answer.status_code == 403
    answer = console.post("/launch/check", data={"template": "gs://no/such"})
    assert answer.status_code == 404


@pytest.mark.parametrize("host", ["localhost:9103", "127.0.0.1:9103", "[::1]:9103", "localhost"])
def test_local_names_are_answered(console, host):
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert console.get("/templates", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/templates", "/no/such/page", "/launch?template=gs://no/such"])
def test_every_answer_has_the_policy(console, path):
    headers = console.get(path).headers
    policy = dict(
        part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


def test_no_page_has_a_script_or_style_of_its_own():
    from launcher.console import app

    for path in (app._FOLDER / "templates").iterdir():
        text = path.read_text()
        assert not re.search(r"<script>|<style|\s(style|on\w+|hx-on\S*)=|js:|\|\s*safe", text), path


def test_the_page_names_no_other_host(console):
    text = console.get("/templates").text
    assert "//" not in text.replace("gs://", "").replace(HOST, "")
