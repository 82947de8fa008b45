"""Jobs, from the filled form to their results."""

from __future__ import annotations

import os
import re

import pytest

from launcher.emulator import daemon
from launcher.emulator.pubsub import find_program
from tests.e2e.console.fields import BUCKET, JOB_SEC, launch
from tests.support import BIN, run

_PIXELS = "application/octet-stream"


def test_from_an_empty_page_to_predictions_in_three_clicks(browser, job):
    # The first click has set up the demo, the second has launched it.
    browser.open(job)
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
    launch(browser, output=f"gs://{BUCKET}/predictions/live", batch_size="100")
    browser.run("window.sameDocument = true")
    seen: set[str] = set()

    def is_done() -> bool:
        seen.add(browser.read("#state"))
        return "Done" in seen

    browser.wait(is_done, "Done", JOB_SEC)
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
    assert browser.list_requests() == []  # The job has ended, so the page stops polling.
    step = next(a for a in browser.find_all("svg.steps a") if a.text.startswith("Predict "))
    step.click()
    browser.wait_for_text("svg.steps", "RunInference")


def test_launch_again_fills_in_the_same(browser, demo):
    browser.open(demo)
    output = f"gs://{BUCKET}/predictions/again"
    browser.fill("#job_name", "again")
    launch(browser, output=output, input="gs://flexpack-demo/nothing")
    browser.click_text("Launch again", "a")
    assert browser.find("[name='p.input']").get_attribute("value") == "gs://flexpack-demo/nothing"
    name = browser.find("#job_name").get_attribute("value")
    assert re.fullmatch(r"again-\d{8}-\d{6}", name)
    value = browser.find("[name='p.output']").get_attribute("value")
    # must not overwrite the first one's results
    assert value == f"gs://{BUCKET}/predictions/{name}"


def test_a_failed_job_shows_its_cause_first(browser, demo):
    browser.open(demo)
    launch(
        browser,
        output=f"gs://{BUCKET}/p/f",
        model_path=f"gs://{BUCKET}/templates/batch.json",
        model_class="template.models.fashion_mnist:FashionMnistModel",
    )
    browser.wait_for_text("#state", "Failed", JOB_SEC)
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
    launch(browser, output=f"gs://{BUCKET}/predictions/cancelled")
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
        path = f"gs://{BUCKET}/templates/streaming.json"
        run("flexpack", "build", path, "--template=streaming", "--image=local/flexpack",
            env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"})  # fmt: skip
        for message in [bytes(784)] * 20 + [b"bad"]:
            publisher.publish(topics[0], message, content_type=_PIXELS).result(10)
    browser.open(f"{url}/launch?template={path}")
    browser.click("[aria-label='Browse for Input subscription']")
    browser.wait(lambda: browser.find_all("dialog .entry"), "subscriptions")
    browser.click("dialog .entry")
    assert browser.find("[name='p.input_subscription']").get_attribute("value") == subscription
    launch(browser, output_topic=topics[1], model_path=f"gs://{BUCKET}/data/garments.pth")
    browser.wait_for_text("#state", "Running", JOB_SEC)
    figures = {"#rows-read": "21", "#predictions": "20", "#dead-letters": "1"}
    browser.wait(
        lambda: {name: browser.read(name) for name in figures} == figures, "all rows", JOB_SEC
    )
    browser.wait(lambda: browser.find_all("[data-line=latency_ms]:not([hidden])"), "latency")
    browser.click_text("Drain", "button")
    browser.driver.switch_to.alert.accept()
    browser.wait_for_text("#state", "Drained", JOB_SEC)


def test_jobs_are_filtered_and_found(browser, url, demo):
    browser.open(demo)
    browser.fill("#job_name", "needle")
    launch(browser, output=f"gs://{BUCKET}/p/n", input="gs://flexpack-demo/nothing")
    browser.open(f"{url}/jobs")
    assert len(browser.find_all("table.jobs tbody tr")) >= 1
    browser.find("#q").send_keys("NEEDLE")
    browser.wait(lambda: browser.read("table.jobs tbody th a") == "needle", "it is found")
    browser.wait(lambda: len(browser.find_all("table.jobs tbody tr")) == 1, "alone")
    browser.wait(lambda: "q=NEEDLE" in browser.driver.current_url, "an address that finds it")
    browser.find("#state").send_keys("Drained")
    browser.wait_for_text("#rows", "No job matches")
