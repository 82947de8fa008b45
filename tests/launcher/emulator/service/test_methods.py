"""The methods for jobs, over HTTP; every answer is checked against its schema."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from launcher.emulator.runtime.events import (
    Importance,
    MessageEvent,
    MetricsEvent,
    StagedEvent,
    StateEvent,
)
from launcher.emulator.runtime.states import IllegalTransitionError, JobState
from tests.launcher.emulator.service.conftest import Local

STAGED: dict[str, Any] = {
    "name": "j",
    "id": "not-mine",
    "type": "JOB_TYPE_BATCH",
    "labels": {"team": "a"},
    "clientRequestId": "20261122-1",
    "unknownToTheSchema": 1,
    "environment": {
        "userAgent": {"name": "Apache Beam Python 3.11 SDK", "version": "2.77.0"},
        "experiments": ["use_runner_v2"],
        "workerPools": [{"kind": "harness", "machineType": "g2-standard-4", "diskSizeGb": 50}],
        "sdkPipelineOptions": {"options": {"input": "gs://data/in", "streaming": False}},
    },
    "steps": [],
}


def run_to(local: Local, job_id: str, *states: str) -> None:
    for state in states:
        local.record(job_id, StateEvent(JobState(f"JOB_STATE_{state}")))


def finished(local: Local, job_id: str) -> str:
    """Let a cancellation continue, and return the job's state after it."""
    local.runner.may_cancel.set()
    local.methods.close()
    return str(local.call("GET", f"jobs/{job_id}")["currentState"])


def test_a_job_moves_as_its_run_reports(local: Local) -> None:
    job_id = local.launch_id()
    created = local.call("GET", f"jobs/{job_id}")
    for state in ("PENDING", "RUNNING", "DONE"):
        run_to(local, job_id, state)
        job = local.call("GET", f"jobs/{job_id}")
        assert job["currentState"] == f"JOB_STATE_{state}"
        assert job["currentStateTime"] >= created["currentStateTime"]
        assert job["createTime"] == created["createTime"]


def test_views(local: Local) -> None:
    job_id = local.launch_id()
    local.record(job_id, StagedEvent(STAGED))
    full = local.call("GET", f"jobs/{job_id}", view="JOB_VIEW_ALL")
    staged = STAGED["environment"]
    assert {**full["environment"], "userAgent": None}.items() >= {
        **staged,
        "userAgent": None,
    }.items()
    assert full["clientRequestId"] == "20261122-1"
    assert (full["id"], full["name"], full["labels"]) == (job_id, "job", {"team": "a"})
    summary = local.call("GET", f"jobs/{job_id}", view="JOB_VIEW_SUMMARY")
    assert summary["environment"]["userAgent"].items() >= staged["userAgent"].items()
    assert not summary["environment"].keys() & {"workerPools", "experiments", "sdkPipelineOptions"}
    assert summary["jobMetadata"]["sdkVersion"]["version"] == "2.77.0"
    assert local.call("GET", f"jobs/{job_id}") == summary


def test_jobs_are_found_in_their_project_and_region_only(local: Local) -> None:
    job_id = local.launch_id()
    elsewhere = (
        f"/v1b3/projects/p/locations/us-central1/jobs/{job_id}",
        f"/v1b3/projects/other/locations/europe-west1/jobs/{job_id}",
        f"/v1b3/projects/p/jobs/{job_id}",
    )
    for path in elsewhere:
        answer = local.http.get(path)
        assert answer.status_code == 404
        message = answer.json()["error"]["message"]
        assert f"Information about job {job_id} could not be found in our system." in message
    here = local.http.get(f"/v1b3/projects/p/jobs/{job_id}", params={"location": "europe-west1"})
    assert here.json()["id"] == job_id


def test_lists(local: Local) -> None:
    ids = {name: local.launch_id(name) for name in ("a", "b", "c")}
    run_to(local, ids["b"], "FAILED")

    def names(**query: object) -> list[str]:
        return [job["name"] for job in local.call("GET", "jobs", **query).get("jobs", [])]

    assert names(filter="ALL") == ["c", "a", "b"]
    assert names() == [name for name, _ in sorted(ids.items(), key=lambda item: item[1])][::-1]
    assert names(filter="ACTIVE") == ["c", "a"]
    assert names(filter="TERMINATED") == ["b"]
    assert names(name="a") == ["a"]
    page = local.call("GET", "jobs", pageSize=2, filter="ALL")
    assert names(pageSize=2, pageToken=page["nextPageToken"], filter="ALL") == ["b"]
    page = local.call("GET", "jobs", pageSize=2)
    assert names(pageSize=2, pageToken=page["nextPageToken"]) == names()[2:]
    error = local.call("GET", "jobs", pageToken="x", status=400)["error"]
    assert error["message"] == "The page token is invalid."

    assert local.http.get("/v1b3/projects/p/jobs").json() == {}
    aggregated = local.http.get("/v1b3/projects/p/jobs:aggregated").json()
    assert [job["name"] for job in aggregated["jobs"]] == names()
    assert "environment" not in aggregated["jobs"][0]


def test_cancelling(local: Local) -> None:
    job_id = local.launch_id()
    run_to(local, job_id, "PENDING", "RUNNING")
    local.call("PUT", f"jobs/{job_id}", {"requestedState": "JOB_STATE_CANCELLED"})
    again = {"requestedState": "JOB_STATE_CANCELLED", "labels": {"force_cancel_job": "true"}}
    local.call("PUT", f"jobs/{job_id}", again)
    assert local.call("GET", f"jobs/{job_id}")["currentState"] == "JOB_STATE_CANCELLING"
    # Too late, because the runtime did not know about it yet.
    run_to(local, job_id, "DONE", "FAILED")
    assert finished(local, job_id) == "JOB_STATE_CANCELLED"
    assert local.runner.cancelled == [job_id]


def test_a_job_whose_processes_stay_fails(local: Local) -> None:
    job_id = local.launch_id()
    local.runner.error = RuntimeError("process 7 stays")
    local.call("PUT", f"jobs/{job_id}", {"requestedState": "JOB_STATE_CANCELLED"})
    assert finished(local, job_id) == "JOB_STATE_FAILED"
    (_, message) = local.call("GET", f"jobs/{job_id}/messages")["jobMessages"]
    assert "could not be stopped: process 7 stays" in message["messageText"]


@pytest.mark.parametrize(
    ("states", "word"), [(["PENDING", "RUNNING", "DONE"], "SUCCESS"), (["FAILED"], "FAILED")]
)
@pytest.mark.parametrize(("wanted", "verb"), [("CANCELLED", "cancel"), ("DRAINED", "drain")])
def test_a_terminated_job_stays_so(
    local: Local, states: list[str], word: str, wanted: str, verb: str
) -> None:
    job_id = local.launch_id()
    run_to(local, job_id, *states)
    body = {"requestedState": f"JOB_STATE_{wanted}"}
    error = local.call("PUT", f"jobs/{job_id}", body, status=400)["error"]
    assert error["status"] == "FAILED_PRECONDITION"
    assert f"Operation {verb} not allowed for job {job_id}." in error["message"]
    assert f"Job has terminated in state {word}." in error["message"]


@pytest.mark.parametrize(
    ("body", "query", "status", "message"),
    [
        ({"requestedState": "JOB_STATE_DRAINED"}, {}, 400, "is in state JOB_STATE_QUEUED and"),
        ({"requestedState": "JOB_STATE_RUNNING"}, {}, 400, "is in state JOB_STATE_QUEUED and"),
        ({}, {}, 400, "is in state JOB_STATE_QUEUED and"),
        (
            {"requestedState": "JOB_STATE_CANCELLED"},
            {"updateMask": "labels"},
            400,
            "Cannot update both state and mask.",
        ),
        ({}, {"updateMask": "labels"}, 501, "jobs.update: updateMask is not implemented"),
    ],
)
def test_updates_that_are_refused(
    local: Local, body: dict[str, Any], query: dict[str, str], status: int, message: str
) -> None:
    job_id = local.launch_id()
    error = local.call("PUT", f"jobs/{job_id}", body, status=status, **query)["error"]
    assert message in error["message"]
    assert local.call("GET", f"jobs/{job_id}")["currentState"] == "JOB_STATE_QUEUED"


def test_a_batch_job_is_not_drained(local: Local) -> None:
    job_id = local.launch_id()
    run_to(local, job_id, "PENDING", "RUNNING")
    body = {"requestedState": "JOB_STATE_DRAINED"}
    error = local.call("PUT", f"jobs/{job_id}", body, status=400)["error"]
    assert f"Operation drain not allowed for job {job_id}." in error["message"]


def test_a_streaming_job_drains_once(local: Local) -> None:
    job_id = local.launch_id()
    local.record(job_id, StagedEvent({**STAGED, "type": "JOB_TYPE_STREAMING"}))
    run_to(local, job_id, "PENDING", "RUNNING")
    body = {"requestedState": "JOB_STATE_DRAINED"}

    local.call("PUT", f"jobs/{job_id}", body)
    job = local.call("GET", f"jobs/{job_id}")
    assert (job["currentState"], job["requestedState"]) == (
        "JOB_STATE_DRAINING",
        "JOB_STATE_DRAINED",
    )
    local.call("PUT", f"jobs/{job_id}", body)
    assert local.runner.drained == [job_id]

    run_to(local, job_id, "DRAINED")
    job = local.call("GET", f"jobs/{job_id}")
    assert job["currentState"] == "JOB_STATE_DRAINED"
    assert "requestedState" not in job  # as in a job that was cancelled
    error = local.call("PUT", f"jobs/{job_id}", body, status=400)["error"]
    assert f"job {job_id}" in error["message"].lower()


def test_messages(local: Local) -> None:
    job_id = local.launch_id()
    path = f"jobs/{job_id}/messages"
    assert local.call("GET", path) == {}
    for number in range(3):
        local.record(job_id, MessageEvent(Importance.BASIC, f"basic {number}"))
    local.record(job_id, MessageEvent(Importance.ERROR, "error"))
    page = local.call("GET", path, pageSize=3)
    assert [item["messageText"] for item in page["jobMessages"]] == [
        "basic 0",
        "basic 1",
        "basic 2",
    ]
    rest = local.call("GET", path, pageSize=3, pageToken=page["nextPageToken"])
    assert "nextPageToken" not in rest
    (error,) = rest["jobMessages"]
    assert local.call("GET", path, minimumImportance="JOB_MESSAGE_WARNING") == {
        "jobMessages": [error]
    }
    assert local.call("GET", path, startTime=error["time"]) == {"jobMessages": [error]}
    assert len(local.call("GET", path, endTime=error["time"])["jobMessages"]) == 3
    assert local.call("GET", path, pageToken="?", status=400)


def test_metrics(local: Local) -> None:
    job_id = local.launch_id()
    path = f"jobs/{job_id}/metrics"
    assert set(local.call("GET", path)) == {"metricTime"}
    rows = {"origin": "user", "name": "rows_read", "context": {"namespace": "flexpack"}}
    local.record(job_id, MetricsEvent([{"name": rows, "scalar": 0}]))
    (metric,) = local.call("GET", path)["metrics"]
    assert (metric["name"], metric["scalar"]) == (rows, 0)
    since = local.call("GET", path)["metricTime"]
    other = {"origin": "user", "name": "predictions"}
    local.record(job_id, MetricsEvent([{"name": rows, "scalar": 0}, {"name": other, "scalar": 5}]))
    changed = local.call("GET", path, startTime=metric["updateTime"])["metrics"]
    assert [item["name"]["name"] for item in changed][-1] == "predictions"
    assert since <= local.call("GET", path)["metricTime"]


def test_reports_that_cannot_be_right_are_refused(local: Local) -> None:
    job_id = local.launch_id()
    with pytest.raises(IllegalTransitionError):
        run_to(local, job_id, "DONE")
    with pytest.raises(ValueError, match="JOB_STATE_ODD"):
        run_to(local, job_id, "ODD")
    run_to(local, job_id, "PENDING", "PENDING", "RUNNING", "DONE", "FAILED")
    assert local.call("GET", f"jobs/{job_id}")["currentState"] == "JOB_STATE_DONE"


def test_direct_submission(local: Local) -> None:
    body = {**STAGED, "clientRequestId": "one"}
    del body["unknownToTheSchema"]
    job = local.call("POST", "jobs", body)
    assert job["id"] != "not-mine"
    assert local.call("GET", f"jobs/{job['id']}")["currentState"] == "JOB_STATE_PENDING"
    ((job_id, executed),) = local.runner.executed
    assert job_id == job["id"]
    assert executed["environment"] == STAGED["environment"]
    run_to(local, job["id"], "PENDING", "RUNNING")

    # The request id shows the client that another client took the name.
    other = local.call("POST", "jobs", {**body, "clientRequestId": "two"})
    assert (other["id"], other["clientRequestId"]) == (job["id"], "one")
    assert len(local.runner.executed) == 1
    assert local.call("POST", "jobs", {"name": "j"}, status=409)
    assert local.call("POST", "jobs", {"name": "J"}, status=400)
    assert local.call("POST", "jobs", {"name": "k", "replaceJobId": "x"}, status=501)


def test_integer_enums(local: Local) -> None:
    job_id = local.launch_id()
    local.record(job_id, StagedEvent(STAGED))
    job = local.call("GET", f"jobs/{job_id}", **{"$alt": "json;enum-encoding=int"})
    assert (job["currentState"], job["type"]) == (11, 1)


def test_bodies_that_are_no_json(local: Local) -> None:
    url = "/v1b3/projects/p/locations/r/flexTemplates:launch"
    answer = local.http.post(url, content=b"{")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("Invalid JSON payload received.")
    assert local.http.post(url, content=b" " * (20 * 2**20 + 1)).status_code == 413


def test_unknown_paths_and_verbs_answer_in_googles_form(local: Local) -> None:
    for verb, path, status in (
        ("GET", "/v1b3/nothing", 404),
        ("DELETE", "/v1b3/projects/p/jobs", 405),
    ):
        answer = local.http.request(verb, path)
        assert answer.status_code == answer.json()["error"]["code"] == status


def test_one_of_many_launches_of_a_name_wins(local: Local) -> None:
    barrier = threading.Barrier(8)
    url = "/v1b3/projects/p/locations/r/flexTemplates:launch"
    launch = {
        "jobName": "j",
        "containerSpecGcsPath": "gs://templates/batch.json",
        "parameters": {"input": "gs://data/in", "output": "gs://data/out"},
    }

    def post(_: int) -> int:
        barrier.wait(10)
        return local.http.post(url, json={"launchParameter": launch}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(post, range(8))) == [200] + [409] * 7
    assert len(local.runner.launched) == 1


def test_an_error_of_the_local_dataflow_itself_is_reported(local: Local) -> None:
    client = TestClient(local.http.app, "http://localhost", raise_server_exceptions=False)
    local.jobs.close()
    answer = client.get("/v1b3/projects/p/locations/r/jobs/x")
    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (500, "INTERNAL")
    assert "ProgrammingError: Cannot operate on a closed database" in error["message"]
