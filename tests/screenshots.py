"""Takes the README's screenshots of the console: the form, a running job, results.

``python -m tests.screenshots`` starts its own local Dataflow, sets up the demo through the
console, and runs a batch job and a stream. It needs Chromium, its driver, and Google's Pub/Sub
emulator.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launcher.emulator import daemon
from tests.browser import Browser, open_browser
from tests.support import BIN, PROJECT_ROOT, open_storage

FOLDER = PROJECT_ROOT / "launcher/console/screenshots"
_SIZE = (1180, 820)
_JOB_SEC = 120.0
_MESSAGES_PER_SEC = 150
_IMAGES = "data/garments-images-idx3-ubyte.gz"
_IDX_HEADER_BYTES, _PIXELS = 16, 28 * 28
_ONE_IS_BAD = 400
_CONTENT_TYPE = "application/octet-stream"
_PROJECT = daemon.DEFAULT_PROJECT
_TEMPLATE = "gs://flexpack-demo/templates/streaming.json"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="flexpack-screenshots-") as folder:
        options = daemon.EmulatorOptions(
            port=0, storage_port=0, pubsub_port=0, data_dir=Path(folder) / "data"
        )
        info = daemon.start_detached(options)
        try:
            with open_browser() as browser:
                browser.set_size(*_SIZE)
                take(browser, info)
        finally:
            daemon.stop(options.data_dir)


def take(browser: Browser, info: daemon.EmulatorInfo) -> None:
    """Take the three pictures."""
    assert info.console_url is not None
    browser.open(info.console_url)
    browser.click_text("Set up the demo", "button")
    browser.wait(lambda: "/launch?" in browser.driver.current_url, "the form", _JOB_SEC)
    images = browser.find("[name='p.input']").get_attribute("value")
    browser.fill_in("input", "s3://my-bucket/images-idx3-ubyte.gz")
    browser.wait(lambda: browser.find_all("[aria-invalid]"), "the problem")
    browser.run("document.activeElement.blur(); scrollTo(0, 0)")
    save(browser, "form")
    browser.fill_in("input", images)
    browser.click("button.primary")
    browser.wait_for_text("#state", "Done", _JOB_SEC)
    browser.click_text("Results", "a")
    browser.wait(
        lambda: browser.run(
            "return document.images.length > 9 && [...document.images].every("
            "(image) => image.complete || image.loading === 'lazy')"
        ),
        "pictures",
    )
    save(browser, "results")
    with stream(info) as (subscription, topic):
        browser.open(f"{info.console_url}launch?template={_TEMPLATE}&job_name=garments-live")
        browser.fill_in("input_subscription", subscription)
        browser.fill_in("output_topic", topic)
        browser.fill_in("model_path", "gs://flexpack-demo/data/garments.pth")
        browser.click("button.primary")
        browser.wait_for_text("#state", "Running", _JOB_SEC)
        browser.wait(lambda: browser.read("#predictions") not in ("", "0"), "rows", _JOB_SEC)
        browser.run_async("setTimeout(arguments[0], 25000)")
        save(browser, "job")


def save(browser: Browser, name: str) -> None:
    """Save a screenshot after the page is drawn."""
    browser.run_async("requestAnimationFrame(() => setTimeout(arguments[0], 400))")
    (FOLDER / f"{name}.png").write_bytes(browser.driver.get_screenshot_as_png())
    print(FOLDER / f"{name}.png")


@contextmanager
def stream(info: daemon.EmulatorInfo) -> Iterator[tuple[str, str]]:
    """Publish garments while the context lasts; yield their subscription and a topic."""
    env = {**os.environ, **daemon.shell_variables(info, project=_PROJECT)}
    build = ["flexpack", "build", _TEMPLATE, "--template=streaming", "--image=local/flexpack"]
    subprocess.run(build, env={**env, "PATH": f"{BIN}:{env['PATH']}"}, check=True, timeout=60)
    os.environ["PUBSUB_EMULATOR_HOST"] = str(info.pubsub_host)
    from google.cloud import pubsub_v1

    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    topics = [f"projects/{_PROJECT}/topics/garments-{end}" for end in ("in", "out")]
    for topic in topics:
        publisher.create_topic(name=topic)
    subscription = f"projects/{_PROJECT}/subscriptions/garments"
    subscriber.create_subscription(name=subscription, topic=topics[0])
    content = open_storage(info).bucket("flexpack-demo").blob(_IMAGES).download_as_bytes()
    pixels = gzip.decompress(content)[_IDX_HEADER_BYTES:]
    images = [pixels[start : start + _PIXELS] for start in range(0, len(pixels), _PIXELS)]
    stopped = threading.Event()

    def publish() -> None:
        number = 0
        while not stopped.wait(0.1):
            for _ in range(_MESSAGES_PER_SEC // 10):
                number += 1
                image = images[number % len(images)] if number % _ONE_IS_BAD else b"bad"
                publisher.publish(topics[0], image, content_type=_CONTENT_TYPE)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield subscription, topics[1]
    finally:
        stopped.set()
        thread.join()


if __name__ == "__main__":
    main()
