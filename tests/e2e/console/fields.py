"""A form with every kind of field, and how to launch from a filled form."""

from __future__ import annotations

from launcher.package.metadata_checks import PARAM_TYPES
from tests.browser import Browser

JOB_SEC = 90.0
BUCKET = "flexpack-demo"
ODD = "<img src=x onerror=alert(1)>'\"{{7*7}}"

_MODES = [
    {"value": "a", "label": "First", "description": "The first."},
    {"value": "b", "label": "Second"},
]
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
    | {"enumOptions": _MODES, "defaultValue": "b"},
    {"name": "of_a", "label": "Of a", "helpText": "h", "isOptional": True}
    | {"parentName": "mode", "parentTriggerValues": ["a"]},
    {"name": "of_any", "label": "Of any", "helpText": "h", "isOptional": True}
    | {"parentName": "of_a"},
]


def launch(browser: Browser, **values: str) -> None:
    """Fill in parameters, and launch."""
    for name, value in values.items():
        browser.fill_in(name, value)
    browser.click("button.primary")
    browser.wait(lambda: "/jobs/" in browser.driver.current_url, "the job's page")
