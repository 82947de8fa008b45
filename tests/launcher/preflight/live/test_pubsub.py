"""Topics and subscriptions in the local Pub/Sub, looked up before a launch there."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.package.metadata import build_template_metadata
from launcher.preflight.subject import Subject, Tools
from launcher.preflight.suite import run_checks
from template.parameters import STREAMING
from tests.launcher.preflight.live.test_known_failures import LAUNCH
from tests.servers import QuietHandler, serve_handler

PARAMETERS = {
    "input_subscription": "projects/my-project/subscriptions/in",
    "output_topic": "projects/my-project/topics/out",
}


@pytest.fixture
def there():
    return {}


@pytest.fixture
def pubsub(there):
    """Host and port of a server that answers as Google's emulator does."""

    class Handler(QuietHandler):
        def do_GET(self):
            path = self.path.partition("?")[0].removeprefix("/v1/")
            error = {"error": {"code": 404, "message": "not found", "status": "NOT_FOUND"}}
            found = there.get(path)
            self.answer(200 if found else 404, json.dumps(found or error).encode())

    with serve_handler(Handler) as port:
        yield f"localhost:{port}"


def find(pubsub_emulator):
    launch = replace(LAUNCH, metadata=build_template_metadata(STREAMING), parameters=PARAMETERS)
    tools = Tools(python=Path(sys.executable))
    subject = Subject(tools=tools, launch=launch, pubsub_emulator=pubsub_emulator)
    found = run_checks(subject)
    return [each for each in found if each.code in ("pubsub-missing", "live-unasked")]


def test_all_that_is_missing_is_reported_at_once_with_the_command_that_makes_it(pubsub):
    subscription, topic = PARAMETERS.values()
    assert [(each.message, each.remedy) for each in find(pubsub)] == [
        (
            f"--parameters input_subscription={subscription}: there is none",
            f"gcloud pubsub subscriptions create {subscription} --topic TOPIC",
        ),
        (
            f"--parameters output_topic={topic}: there is none",
            f"gcloud pubsub topics create {topic}",
        ),
    ]


def test_what_is_there_is_found(pubsub, there):
    subscription, topic = PARAMETERS.values()
    there[subscription] = {"name": subscription, "topic": "projects/my-project/topics/in"}
    there[topic] = {"name": topic}
    assert find(pubsub) == []


def test_a_pubsub_that_does_not_answer_is_a_warning_and_none_is_no_finding():
    assert [each.code for each in find("localhost:1")] == ["live-unasked"]
    assert find(None) == []
