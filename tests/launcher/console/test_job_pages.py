"""The pages of jobs, whether much or little is known about a job."""

from __future__ import annotations

import html
import json
import re

import pytest

from launcher.console.app import build_environment
from launcher.jobs.diagnosis import diagnose
from tests.launcher.jobs.test_diagnosis import RAISED
from tests.launcher.jobs.test_tracebacks import FAILED_CALL
from tests.streaming_job import wait_until
from tests.support import PROJECT

TABS = ("overview", "messages", "results", "parameters")


@pytest.fixture(scope="module")
def job_id(console, put):
    """A job whose image does not exist: it fails at once."""
    spec = {"image": "local/none", "sdkInfo": {"language": "PYTHON"}}
    path = put("templates/none.json", json.dumps(spec))
    form = {"template": path, "project": PROJECT, "region": "us-central1", "job_name": "no-image"}
    answer = console.post("/launch", data={**form, "p.odd": "<b>bold</b>"})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].rpartition("/")[2]


def read(answer):
    assert answer.status_code == 200, answer.text
    return html.unescape(re.sub(r"<[^>]+>", "", answer.text))


def test_a_job_that_waits_for_its_launcher_is_shown(console, put, job_id):
    """For such a job the service reports neither type nor environment."""
    for path in ("/jobs", f"/jobs/us-central1/{job_id}"):
        assert "no-image" in read(console.get(path))


def show_cause(*texts, console=""):
    page = build_environment().get_template("job_cause.html")
    shown = page.render(diagnosis=diagnose(texts, console=console), here="/jobs/r/1", own="")
    return [line.strip() for line in html.unescape(re.sub("<[^>]+>", "", shown)).split("\n")]


def test_the_cause_of_a_failed_job_comes_first_then_the_users_own_line():
    title, cause, *rest = filter(None, show_cause(FAILED_CALL, RAISED % "KeyError: 'weightkg'"))
    assert title == "The job failed"
    assert cause.startswith("none of the 200 rows read was predicted.")
    assert cause.endswith("KeyError: 'weightkg'")
    assert 'File "/orders/orders/model.py", line 37, in predict' in rest
    assert "generator" not in "".join(rest)


def test_the_cause_of_a_failed_launch_is_what_the_launcher_said():
    said = "--input 'gs://b/x.csv': no column 'weight', which the model needs"
    shown = show_cause("Template launch failed. See console logs.", console=said)
    assert list(filter(None, shown))[:2] == [
        "The launch failed",
        f"the launcher ended with: {said}",
    ]


def test_a_cause_that_only_the_service_names_is_shown():
    shown = show_cause("Workflow failed. Causes: Topic projects/p/topics/none: not found")
    assert "Topic projects/p/topics/none: not found" in shown
    assert "Its messages say more." in show_cause("all is well")


@pytest.mark.parametrize("is_partial", [False, True], ids=["page", "refresh"])
@pytest.mark.parametrize("tab", TABS)
def test_every_tab_of_a_failed_job_is_shown(console, job_id, tab, is_partial):
    headers = {"HX-Request": "true"} if is_partial else {}
    answer = console.get(f"/jobs/us-central1/{job_id}?tab={tab}", headers=headers)
    shown = read(answer)
    assert "no-image" in shown
    assert ("<html" in answer.text) is not is_partial
    if tab == "parameters":
        assert "<b>bold</b>" in shown
        assert "<b>" not in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/jobs/us-central1/unknown", 404),
        ("/jobs/europe-west1/{id}", 404),
        ("/jobs/us-central1/{id}?project=other-project", 404),
        ("/jobs/us-central1/{id}?tab=nothing", 404),
        ("/jobs/us-central1/{id}/picture?key=x", 404),
        ("/jobs/us-central1/{id}/picture?key=gs://secret/a.png", 404),
        ("/jobs/us-central1/..%2Fjobs", 404),
        ("/pick?kind=nothing", 404),
        ("/jobs/us-central1/{id}?tab=messages&before=x", 400),
        ("/jobs?page=nonsense", 400),
    ],
)
def test_what_is_not_there_is_said_to_be_missing(console, job_id, path, status):
    assert console.get(path.format(id=job_id)).status_code == status


def test_a_job_that_has_ended_cannot_be_cancelled_and_the_service_says_so(console, job_id, apis):
    path = f"/v1b3/projects/{PROJECT}/locations/us-central1/jobs/{job_id}"
    wait_until(
        lambda: apis.dataflow("GET", path)["currentState"] == "JOB_STATE_FAILED", lambda: "FAILED"
    )
    for verb in ("cancel", "drain"):
        answer = console.post(f"/jobs/us-central1/{job_id}/{verb}")
        assert answer.status_code == 400
        assert "terminated" in answer.text or "terminal" in answer.text, answer.text


def test_another_projects_jobs_are_shown_by_its_name(console, job_id):
    shown = read(console.get("/jobs?project=other-project"))
    assert "No jobs yet" in shown
    assert PROJECT in shown  # to return to
