"""Every page, in both themes and on narrow screens."""

from __future__ import annotations

import pytest

from tests.e2e.console.fields import EVERY_FIELD


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


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        pytest.param(1280, "dark", marks=pytest.mark.wide),
        pytest.param(360, "light", marks=pytest.mark.wide),
        (360, "dark"),
    ],
)
def test_axe_finds_nothing_serious(browser, url, demo, job, form, width, scheme):
    job = job.removeprefix(url)
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
