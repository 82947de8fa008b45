"""The console of an unused local Dataflow, in a real Chromium."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from launcher.emulator import daemon
from tests.browser import Browser, open_browser
from tests.e2e.console.fields import JOB_SEC, ODD
from tests.support import open_storage, run_emulator


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def local(tmp_path_factory, browser) -> Iterator[daemon.EmulatorInfo]:
    """A local Dataflow that has not been used."""
    with run_emulator(tmp_path_factory.mktemp("console"), pubsub_port=0) as info:
        yield info


@pytest.fixture(scope="session")
def url(local) -> str:
    assert local.console_url is not None
    return local.console_url.rstrip("/")


@pytest.fixture(scope="session")
def demo(browser, url) -> str:
    """The address of the demo's form, filled in after it was set up from the empty page."""
    browser.open(url)
    browser.wait_for_text("main", "No templates yet")
    browser.list_complaints()
    browser.click_text("Set up the demo", "button")
    browser.wait(lambda: "/launch?" in browser.driver.current_url, "the form", JOB_SEC)
    return browser.driver.current_url


@pytest.fixture(scope="session")
def job(browser, demo) -> str:
    """The page of a job that is done: the demo's form, launched as it was filled in."""
    browser.open(demo)
    browser.click("button.primary")
    browser.wait_for_text("#state", "Done", JOB_SEC)
    return browser.driver.current_url.partition("?")[0]


@pytest.fixture(scope="session")
def put(local) -> Callable[[str, object], str]:
    """Upload JSON, or text, and return its path."""
    storage = open_storage(local)
    bucket = storage.lookup_bucket("console-tests") or storage.create_bucket("console-tests")

    def put(name: str, content: object) -> str:
        text = content if isinstance(content, str) else json.dumps(content)
        bucket.blob(name).upload_from_string(text)
        return f"gs://{bucket.name}/{name}"

    return put


@pytest.fixture
def form(browser, url, put):
    """Open the form of parameters."""

    def form(parameters: list[dict[str, Any]], name: str = "T") -> None:
        metadata = {"name": name, "description": ODD, "parameters": parameters}
        spec = {"image": "local/none", "sdkInfo": {"language": "PYTHON"}, "metadata": metadata}
        path = put("templates/every.json", spec)
        browser.open(f"{url}/launch?template={path}")

    return form


@pytest.fixture(autouse=True)
def _nothing_is_wrong(request, browser):
    """No test makes the browser log an error or send requests to another host."""
    browser.list_requests()
    browser.list_complaints()
    yield
    if "attacks" in request.node.name:
        return
    url = request.getfixturevalue("url")
    assert browser.list_complaints() == []
    assert browser.list_hosts() <= {url.removeprefix("http://")}
