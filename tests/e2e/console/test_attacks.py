"""Pages of other origins, and texts that must not become markup."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import Browser, open_browser
from tests.e2e.console.fields import ODD
from tests.servers import QuietHandler, serve_handler


class _Evil(QuietHandler):
    """A page of another origin."""

    def do_GET(self) -> None:
        self.answer(200, b"<!doctype html><title>evil</title><p>evil", "text/html")


@pytest.fixture(scope="session")
def evil() -> Iterator[str]:
    with serve_handler(_Evil) as port:
        yield f"http://localhost:{port}/"


def count_jobs(browser: Browser, url: str) -> int:
    browser.open(f"{url}/jobs")
    return len(browser.find_all("table.jobs tbody tr"))


def test_attacks_of_another_origin_are_refused(browser, url, job, evil):
    before = count_jobs(browser, url)
    browser.open(evil)
    read = browser.run_async(
        "fetch(arguments[0]).then((answer) => answer.text()).then(arguments[1])"
        ".catch((error) => arguments[1]('refused'))",
        f"{url}/jobs",
    )
    assert read == "refused"
    sent = "template=gs://flexpack-demo/templates/batch.json&region=us-central1&job_name=evil"
    opaque = browser.run_async(
        "fetch(arguments[0], {method: 'POST', mode: 'no-cors', body: new URLSearchParams("
        "arguments[1])}).then((answer) => arguments[2](answer.type))"
        ".catch((error) => arguments[2]('refused'))",
        f"{url}/launch",
        sent,
    )
    assert opaque in ("opaque", "refused")
    # A form that submits itself, which no policy of the evil page prevents.
    browser.run(
        "const form = document.createElement('form'); form.method = 'POST'; form.action ="
        "arguments[0]; for (const [name, value] of new URLSearchParams(arguments[1])) {"
        "const input = document.createElement('input'); input.name = name; input.value = value;"
        "form.append(input); } document.body.append(form); form.submit();",
        f"{url}/launch",
        sent,
    )
    browser.wait_for_text("body", "another origin")
    browser.open(evil)
    browser.run(
        "const frame = document.createElement('iframe'); frame.src = arguments[0];"
        "document.body.append(frame);",
        f"{url}/jobs",
    )
    browser.run_async("setTimeout(arguments[0], 500)")
    frame = browser.find("iframe")
    browser.driver.switch_to.frame(frame)
    assert "Jobs" not in browser.text
    browser.driver.switch_to.default_content()
    browser.run(
        "const link = document.createElement('a'); link.href = arguments[0]; link.textContent = "
        "'go'; document.body.append(link); link.click();",
        f"{url}/launch?template=gs://flexpack-demo/templates/batch.json",
    )
    browser.wait_for_text("h1", "Refused")
    browser.find("a").click()
    browser.wait_for_text("h1", "Jobs")
    assert count_jobs(browser, url) == before


def test_attacks_by_a_name_that_resolves_here_are_refused(url, demo):
    port = url.rpartition(":")[2]
    with open_browser("--host-resolver-rules=MAP evil.example 127.0.0.1") as rebound:
        rebound.open(f"http://evil.example:{port}/jobs")
        assert "Refused" in rebound.text
        answer = rebound.run_async("fetch('/jobs').then((answer) => arguments[0](answer.status))")
        assert answer == 403


def test_attacks_in_metadata_and_messages_are_shown_as_text(browser, url, form, put):
    form([{"name": "a", "label": ODD, "helpText": ODD, "groupName": ODD}], name=ODD)
    assert ODD in browser.read("h1")
    assert ODD in browser.read("section.group h2")
    assert browser.run("return document.querySelectorAll('main img').length") == 0
    browser.open(f"{url}/templates")
    assert ODD in browser.read("main")
    browser.open(f"{url}/jobs?q=%3Cscript%3Ealert(1)%3C/script%3E")
    assert browser.run("return document.querySelectorAll('main script').length") == 0
