"""The console in a real Chromium: from the form to the results, and what must not work."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from launcher.emulator import daemon
from launcher.emulator.pubsub import find_program
from launcher.package.metadata_checks import PARAM_TYPES
from tests.browser import Browser, open_browser
from tests.support import BIN, open_storage, run

_JOB_SEC = 90.0
_BUCKET = "flexpack-demo"
_PIXELS = "application/octet-stream"
ODD = "<img src=x onerror=alert(1)>'\"{{7*7}}"

EVERY_FIELD = [
    *(
        {"name": f"t_{name}", "label": f"As {name}", "helpText": ODD, "isOptional": True}
        | {"paramType": name}
        for name in sorted(PARAM_TYPES - {"ENUM"})
    ),
    {"name": "plain", "label": "Plain", "helpText": "h", "groupName": "Group A"},
    {"name": "code", "label": "Code", "helpText": "h", "isOptional": True, "groupName": "Group A"}
    | {"regexes": ["^[a-z]{2}[0-9]+$"]},
    {"name": "filled", "label": "Filled", "helpText": "h", "defaultValue": "as given"},
    {"name": "secret", "label": "Secret", "helpText": "h", "isOptional": True, "hiddenUi": True},
    {"name": "mode", "label": "Mode", "helpText": "h", "paramType": "ENUM", "groupName": "Group B"}
    | {"enumOptions": [{"value": "a", "label": "First", "description": "The first."}]}
    | {"defaultValue": "b"},
    {"name": "of_a", "label": "Of a", "helpText": "h", "isOptional": True}
    | {"parentName": "mode", "parentTriggerValues": ["a"]},
    {"name": "of_any", "label": "Of any", "helpText": "h", "isOptional": True}
    | {"parentName": "of_a"},
]
EVERY_FIELD[-3]["enumOptions"].append({"value": "b", "label": "Second"})


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def local(tmp_path_factory, browser) -> Iterator[daemon.EmulatorInfo]:
    """A local Dataflow that nobody has used."""
    data_dir = tmp_path_factory.mktemp("console")
    options = daemon.EmulatorOptions(port=0, storage_port=0, pubsub_port=0, data_dir=data_dir)
    info = daemon.start_detached(options)
    try:
        yield info
    finally:
        daemon.stop(data_dir)


@pytest.fixture(scope="module")
def url(local) -> str:
    assert local.console_url is not None
    return local.console_url.rstrip("/")


@pytest.fixture(scope="module")
def demo(browser, url) -> str:
    """The address of the demo's form, filled in; set up from the empty page."""
    browser.open(url)
    browser.wait_for_text("main", "No templates yet")
    browser.list_complaints()
    browser.click_text("Set up the demo", "button")
    browser.wait(lambda: "/launch?" in browser.driver.current_url, "the form", _JOB_SEC)
    return browser.driver.current_url


@pytest.fixture(scope="module")
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
    """No test makes the browser complain, or ask another host for anything."""
    browser.list_requests()
    browser.list_complaints()
    yield
    if "attacks" in request.node.name:
        return
    url = request.getfixturevalue("url")
    assert browser.list_complaints() == []
    assert browser.list_hosts() <= {url.removeprefix("http://")}


def launch(browser: Browser, **values: str) -> None:
    """Fill in parameters, and launch."""
    for name, value in values.items():
        browser.fill_in(name, value)
    browser.click("button.primary")
    browser.wait(lambda: "/jobs/" in browser.driver.current_url, "the job's page")


def test_from_an_empty_page_to_predictions_in_three_clicks(browser, url, demo):
    # The first click has set up the demo.
    browser.click("button.primary")
    browser.wait_for_text("#state", "Done", _JOB_SEC)
    browser.click_text("All results", "a")
    browser.wait(lambda: len(browser.find_all(".pictures li")) == 24, "pictures")
    browser.wait(
        lambda: browser.run(
            "return [...document.images].slice(0, 8).every((image) => image.naturalWidth > 0)"
        ),
        "pictures are drawn",
    )
    assert browser.read("#predictions") == "1,000"
    assert re.search(r"(Bag|Coat|Dress|Trouser|Pullover)", browser.text)
    assert "gcloud storage cat 'gs://flexpack-demo/predictions/" in browser.text


def test_a_job_is_followed_live_to_its_end(browser, demo):
    browser.open(demo)
    launch(browser, output=f"gs://{_BUCKET}/predictions/live", batch_size="100")
    browser.run("window.sameDocument = true")
    seen: set[str] = set()

    def is_done() -> bool:
        seen.add(browser.read("#state"))
        return "Done" in seen

    browser.wait(is_done, "Done", _JOB_SEC)
    assert browser.run("return window.sameDocument") is True
    assert seen - {"Done"} <= {"Queued", "Pending", "Running"}
    assert seen - {"Done"}
    assert browser.read("#rows-read") == "1,000"
    assert {"Read", "Predict", "WritePredictions"} <= {
        each.text.rstrip(" ▾") for each in browser.find_all(".node .name")
    }
    browser.wait(lambda: browser.find_all(".chart:not([hidden]) canvas"), "charts")
    requests = len(browser.list_requests())
    browser.run_async("setTimeout(arguments[0], 2600)")
    assert requests
    assert browser.list_requests() == []  # It has ended: nobody asks any more.
    browser.find("a[aria-label='Open Predict']").click()
    browser.wait_for_text("svg.steps", "RunInference")


def test_launch_again_fills_in_the_same(browser, demo):
    browser.open(demo)
    output = f"gs://{_BUCKET}/predictions/again"
    browser.fill("#job_name", "again")
    launch(browser, output=output, input="gs://flexpack-demo/nothing")
    browser.click_text("Launch again", "a")
    assert browser.find("[name='p.input']").get_attribute("value") == "gs://flexpack-demo/nothing"
    name = browser.find("#job_name").get_attribute("value")
    assert re.fullmatch(r"again-\d{8}-\d{6}", name)
    value = browser.find("[name='p.output']").get_attribute("value")
    assert value == f"gs://{_BUCKET}/predictions/{name}"  # not over the first one's results


def test_a_failed_job_shows_its_cause_first(browser, demo):
    browser.open(demo)
    launch(
        browser,
        output=f"gs://{_BUCKET}/p/f",
        model_path=f"gs://{_BUCKET}/templates/batch.json",
        model_class="template.models.fashion_mnist:FashionMnistModel",
    )
    browser.wait_for_text("#state", "Failed", _JOB_SEC)
    cause = browser.wait(lambda: browser.read(".cause"), "the cause")
    assert "Remedy" in cause or "Traceback" in cause
    assert browser.run(
        "return document.querySelector('.cause').compareDocumentPosition("
        "document.querySelector('.figures')) & Node.DOCUMENT_POSITION_FOLLOWING"
    )
    browser.click_text("Messages", "a")
    browser.wait_for_text(".log", "Workflow failed")
    browser.find("#text").send_keys("workflow FAILED")
    browser.wait(lambda: len(browser.find_all(".log tbody tr")) == 1, "one message is found")


def test_a_job_is_cancelled(browser, demo):
    browser.open(demo)
    launch(browser, output=f"gs://{_BUCKET}/predictions/cancelled")
    browser.click_text("Cancel", "button")
    browser.driver.switch_to.alert.accept()
    browser.wait(lambda: browser.read("#state") in ("Cancelled", "Cancelling"), "Cancelled")
    browser.wait_for_text("#state", "Cancelled")


@pytest.mark.skipif(find_program() is None, reason="Google's Pub/Sub emulator is not installed")
def test_a_stream_is_drained(browser, url, demo, local):
    env = daemon.shell_variables(local, project=daemon.DEFAULT_PROJECT)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        from google.cloud import pubsub_v1

        publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
        topics = [f"projects/local-project/topics/console-{end}" for end in ("in", "out")]
        subscription = "projects/local-project/subscriptions/console-images"
        for topic in topics:
            publisher.create_topic(name=topic)
        subscriber.create_subscription(name=subscription, topic=topics[0])
        path = f"gs://{_BUCKET}/templates/streaming.json"
        run("flexpack", "build", path, "--template=streaming", "--image=local/flexpack",
            env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"})  # fmt: skip
        for message in [bytes(784)] * 20 + [b"bad"]:
            publisher.publish(topics[0], message, content_type=_PIXELS).result(10)
    browser.open(f"{url}/launch?template={path}")
    browser.click("[aria-label='Browse for Input subscription']")
    browser.wait(lambda: browser.find_all("dialog .entry"), "subscriptions")
    browser.click("dialog .entry")
    assert browser.find("[name='p.input_subscription']").get_attribute("value") == subscription
    launch(browser, output_topic=topics[1], model_path=f"gs://{_BUCKET}/data/garments.pth")
    browser.wait_for_text("#state", "Running", _JOB_SEC)
    browser.wait(lambda: browser.read("#rows-read") == "21", "all rows", _JOB_SEC)
    assert (browser.read("#predictions"), browser.read("#dead-letters")) == ("20", "1")
    browser.wait(lambda: browser.find_all("[data-line=latency_ms]:not([hidden])"), "latency")
    browser.click_text("Drain", "button")
    browser.driver.switch_to.alert.accept()
    browser.wait_for_text("#state", "Drained", _JOB_SEC)


def test_every_field_of_the_form(browser, form):
    form(EVERY_FIELD)
    titles = [each.text for each in browser.find_all("section.group h2")]
    assert titles == ["Group A", "Group B"]
    for each in EVERY_FIELD:
        found = browser.find_all(f"[name='p.{each['name']}']")
        assert bool(found) is not each.get("hiddenUi", False), each["name"]
    assert browser.find("[name='p.t_NUMBER']").get_attribute("inputmode") == "decimal"
    assert len(browser.find_all("[name='p.t_BOOLEAN'][type=radio]")) == 3
    pickers = {each.get_attribute("aria-label") for each in browser.find_all("[data-pick]")}
    assert "Browse for As PUBSUB_TOPIC" in pickers
    assert "Browse for As GCS_READ_FILE" in pickers
    assert "Browse for As TEXT" not in pickers
    assert browser.find("[name='p.filled']").get_attribute("value") == "as given"
    assert [each.text for each in browser.find_all("[name='p.mode'] option")] == ["First", "Second"]
    marks = [each.text for each in browser.find_all("label:has(.required)")]
    assert [text.split("*")[0] for text in marks if "Plain" in text or "Code" in text] == ["Plain"]
    assert "secret" in browser.read(".about")  # hidden, and said to be
    assert ODD in browser.read("main")  # as text
    assert browser.run("return document.querySelectorAll('main img').length") == 0


def test_children_are_shown_on_their_parents_values(browser, form):
    form(EVERY_FIELD)

    def is_shown(name: str) -> bool:
        return browser.find(f"[name='p.{name}']").is_displayed()

    assert not is_shown("of_a")
    browser.find("[name='p.mode']").send_keys("First")
    browser.wait(lambda: is_shown("of_a"), "the child")
    assert browser.read("[data-description-of]") == "The first."
    assert not is_shown("of_any")
    browser.fill_in("of_a", "whatever")
    browser.wait(lambda: is_shown("of_any"), "the child's child")
    browser.fill_in("of_any", "deep")
    browser.wait_for_text("#equal", '"of_any": "deep"')
    browser.find("[name='p.mode']").send_keys("Second")
    browser.wait(lambda: not is_shown("of_any"), "both are hidden")
    browser.wait(lambda: "deep" not in browser.read("#equal"), "and not sent")


def test_a_regex_is_refused_while_typing_and_by_the_service_alike(browser, form, local):
    form(EVERY_FIELD)
    field = browser.fill_in("code", "X")
    problem = "Parameter didn't match regex '^[a-z]{2}[0-9]+$'"
    browser.wait_for_text(f"#{field}-problem", problem)
    assert browser.find(f"#{field}").get_attribute("aria-invalid") == "true"
    browser.fill_in("code", "ab12")
    browser.wait(lambda: browser.read(f"#{field}-problem") == "", "no problem")
    browser.fill_in("code", "ab")
    browser.fill_in("plain", "p")
    browser.click("button.primary")
    browser.wait_for_text(f"#{field}-problem", problem)
    browser.wait(
        lambda: browser.run("return document.activeElement.id") == field, "the field has the focus"
    )
    assert "/launch?" in browser.driver.current_url


def test_what_is_missing_is_named_at_the_launch_only(browser, form):
    form(EVERY_FIELD)
    (field,) = browser.find_all("[name='p.plain']")
    problem = f"#{field.get_attribute('id')}-problem"
    browser.fill_in("code", "ab1")
    browser.wait_for_text("#equal", "ab1")
    assert browser.read(problem) == ""
    browser.click("button.primary")
    browser.wait_for_text(problem, "Missing required parameter")


def test_a_bucket_is_browsed(browser, form, demo):
    form(EVERY_FIELD)
    browser.click("[aria-label='Browse for As GCS_READ_FILE']")
    browser.click_text(_BUCKET, "button")
    browser.click_text("data/", "button")
    browser.wait_for_text("dialog", "garments.pth")
    browser.driver.find_element("xpath", "//dialog//button[contains(., 'garments.pth')]").click()
    value = browser.find("[name='p.t_GCS_READ_FILE']").get_attribute("value")
    assert value == f"gs://{_BUCKET}/data/garments.pth"
    browser.wait_for_text("#equal", value)


def test_jobs_are_filtered_and_found(browser, url, demo):
    browser.open(demo)
    browser.fill("#job_name", "needle")
    launch(browser, output=f"gs://{_BUCKET}/p/n", input="gs://flexpack-demo/nothing")
    browser.open(f"{url}/jobs")
    assert len(browser.find_all("table.jobs tbody tr")) >= 1
    browser.find("#q").send_keys("NEEDLE")
    browser.wait(lambda: browser.read("table.jobs tbody th a") == "needle", "it is found")
    browser.wait(lambda: len(browser.find_all("table.jobs tbody tr")) == 1, "alone")
    browser.wait(lambda: "q=NEEDLE" in browser.driver.current_url, "an address that finds it")
    browser.find("#state").send_keys("Drained")
    browser.wait_for_text("#rows", "No job matches")


def test_the_theme_follows_the_system_until_it_is_chosen(browser, url):
    browser.open(f"{url}/templates")

    def background() -> str:
        return str(browser.run("return getComputedStyle(document.body).backgroundColor"))

    try:
        browser.set_scheme("light")
        light = background()
        browser.set_scheme("dark")
        dark = background()
        assert light != dark
        browser.click("[data-theme-switch]")
        assert background() == light
        browser.open(f"{url}/jobs")
        assert background() == light
    finally:
        browser.run("localStorage.clear()")
        browser.set_scheme("light")


def test_the_form_works_by_keyboard_alone(browser, form):
    from selenium.webdriver.common.keys import Keys

    form(EVERY_FIELD)
    browser.run("document.body.focus()")
    keys = browser.driver.switch_to
    keys.active_element.send_keys(Keys.TAB)
    assert browser.run("return document.activeElement.className") == "skip"
    keys.active_element.send_keys(Keys.ENTER)
    for _ in range(80):
        if browser.run("return document.activeElement.name") == "p.plain":
            break
        keys.active_element.send_keys(Keys.TAB)
    keys.active_element.send_keys("typed")
    browser.wait_for_text("#equal", '"plain": "typed"')
    browser.find("[data-pick]").send_keys(Keys.ENTER)
    browser.wait(lambda: browser.find_all("dialog[open]"), "the picker")
    browser.wait(
        lambda: browser.run("return document.activeElement.closest('dialog') !== null"), "focus"
    )
    keys.active_element.send_keys(Keys.ESCAPE)
    browser.wait(lambda: not browser.find_all("dialog[open]"), "it is closed")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_serious(browser, url, demo, form, scheme, width):
    job = browser.run_async(
        "fetch('/jobs', {headers: {'HX-Request': 'true'}}).then((answer) => answer.text())"
        '.then((text) => arguments[0](/href="(.jobs.[^"?]+)/.exec(text)[1]))'
    )
    pages = ["/jobs", "/templates", demo.removeprefix(url), job]
    pages += [f"{job}?tab={tab}" for tab in ("messages", "results", "parameters")]
    found = []
    try:
        browser.set_size(width, 800)
        browser.set_scheme(scheme)
        for page in pages:
            browser.open(f"{url}{page}")
            browser.find("main h1")
            found += [f"{page}: {each}" for each in browser.check_accessibility()]
            wide = browser.run("return document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{page} is {wide} px wider than the screen"
        form(EVERY_FIELD)
        found += browser.check_accessibility()
        browser.click("[data-pick]")
        browser.wait(lambda: browser.find_all("dialog[open] h2"), "the picker")
        found += [f"picker: {each}" for each in browser.check_accessibility()]
    finally:
        browser.set_size(1280, 900)
        browser.set_scheme("light")
    assert found == []


class _Evil(BaseHTTPRequestHandler):
    """A page of another origin."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>evil</title><p>evil")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def evil() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Evil)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()


def count_jobs(browser: Browser, url: str) -> int:
    browser.open(f"{url}/jobs")
    return len(browser.find_all("table.jobs tbody tr"))


def test_attacks_of_another_origin_are_refused(browser, url, demo, evil):
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
    # A form that sends itself, which no policy of the evil page hinders.
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
