"""A real Chromium, as Debian packages it, driven by Selenium."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

AXE = Path(__file__).parent / "launcher/console/data/axe.min.js"
_DEADLINE_SEC = 20.0
_SERIOUS = ("serious", "critical")


class Browser:
    """One tab of a Chromium without a window."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def find(self, selector: str) -> Any:
        """Return the first element of a selector; wait until there is one."""
        return self.wait(lambda: next(iter(self.find_all(selector)), None), selector)

    def find_all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def click_text(self, text: str, tag: str = "*") -> None:
        path = f"//main//{tag}[normalize-space()={json.dumps(text)}]"
        self.wait(lambda: self.driver.find_elements("xpath", path), text)[0].click()

    def read(self, selector: str) -> str:
        """Return the text of an element, now; "" if it is not there."""
        script = "return document.querySelector(arguments[0])?.textContent ?? ''"
        return str(self.driver.execute_script(script, selector)).strip()

    def fill(self, selector: str, text: str) -> None:
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def fill_in(self, parameter: str, text: str) -> str:
        """Type into the field of a parameter; return the field's id."""
        selector = f"[name='p.{parameter}']"
        self.fill(selector, text)
        return str(self.find(selector).get_attribute("id"))

    def wait(self, condition: Callable[[], Any], what: object, timeout_sec: float = 0) -> Any:
        """Wait until something is true and return it; fail with the page's text if it never is."""
        deadline = time.monotonic() + (timeout_sec or _DEADLINE_SEC)
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{what}\n{self.driver.current_url}\n{self.text}"
            time.sleep(0.1)
        return found

    def wait_for_text(self, selector: str, text: str, timeout_sec: float = 0) -> None:
        self.wait(lambda: text in self.read(selector), f"{selector}: {text}", timeout_sec)

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def run_async(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_async_script(script, *arguments)

    def set_size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def set_scheme(self, scheme: str) -> None:
        """Let the system prefer light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def list_requests(self) -> list[str]:
        """Return the addresses that were requested since the last call."""
        events = [json.loads(entry["message"]) for entry in self.driver.get_log("performance")]
        return [
            event["message"]["params"]["request"]["url"]
            for event in events
            if event["message"]["method"] == "Network.requestWillBeSent"
        ]

    def list_hosts(self) -> set[str]:
        """Return the hosts, with their ports, that got requests since the last call."""
        return {host for url in self.list_requests() if (host := urlsplit(url).netloc)}

    def list_complaints(self) -> list[str]:
        """Return the errors that the browser has logged since the last call."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if "status of 422" not in entry["message"]  # a form that is refused, which is shown
        ]

    def check_accessibility(self) -> list[str]:
        """Return what axe finds serious or critical in the page."""
        self.run(AXE.read_text())
        found = self.run_async(
            "axe.run(document, {resultTypes: ['violations']}).then(arguments[0])"
        )
        return [
            f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
            for each in found["violations"]
            if each["impact"] in _SERIOUS
            for node in each["nodes"]
        ]

    @property
    def text(self) -> str:
        return str(self.run("return document.body?.innerText ?? ''"))


@contextmanager
def open_browser(*flags: str) -> Iterator[Browser]:
    """Start a Chromium; skip the test, with the reason, if there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Debian's packages chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--no-proxy-server", "--disable-background-networking", "--hide-scrollbars"),
        *flags,
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    started = webdriver.Chrome(options=options, service=service)
    try:
        started.set_page_load_timeout(120)
        started.set_script_timeout(30)
        browser = Browser(started)
        browser.set_size(1280, 900)
        yield browser
    finally:
        started.quit()
