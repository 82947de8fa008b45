"""Answers match those of the real service: one recording each, with its source."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from launcher.emulator.executor.metrics import (
    Distribution,
    JobMetrics,
    MeanByteCount,
    MetricNames,
)
from launcher.emulator.runtime.announcements import Announcer
from launcher.emulator.runtime.events import (
    Event,
    Importance,
    MessageEvent,
    StagedEvent,
    StateEvent,
)
from launcher.emulator.runtime.states import JobState
from tests.launcher.emulator.service.conftest import Local
from tests.launcher.emulator.service.test_methods import STAGED, run_to

FOLDER = Path(__file__).parent / "recordings"
LAUNCH = "dataflow.projects.locations.flexTemplates.launch"


def recording(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def check(name: str, answer: dict[str, Any]) -> None:
    """Compare an answer with the recording's fields and values."""
    wanted = recording(name)
    if "fields" in wanted:
        assert sorted(answer) == wanted["fields"]
    for field, value in wanted.get("values", {}).items():
        assert answer[field] == value
    if "environment" in wanted:
        assert sorted(answer["environment"]) == wanted["environment"]
    assert set(wanted.get("present", ())) <= answer.keys()


def test_every_recording_has_a_source_and_a_test() -> None:
    tests = Path(__file__).read_text()
    for path in FOLDER.iterdir():
        assert recording(path.stem)["source"]
        assert f'"{path.stem}"' in tests, path


def start(local: Local, name: str = "job", **fields: Any) -> str:
    """Launch a job and let its executor report until it runs."""
    job_id = local.launch_id(name)
    job = {**STAGED, **fields}
    job["environment"] = {**job["environment"], "version": {"major": "8"}}
    local.record(job_id, StagedEvent(job))
    run_to(local, job_id, "PENDING")
    announcer = Announcer(job_id, job, workers=2)
    events: list[Event] = [
        MessageEvent(Importance.BASIC, "Executing operation A"),
        StateEvent(JobState.RUNNING),
        MessageEvent(Importance.DETAILED, "Workers have started successfully."),
        MessageEvent(Importance.BASIC, "Finished operation A"),
        MessageEvent(Importance.BASIC, "Executing operation B"),
    ]
    for event in events:
        for each in announcer.around(event):
            local.record(job_id, each)
    return job_id


def test_a_launch_and_the_job_that_is_queued(local: Local) -> None:
    job = local.launch(environment={"additionalUserLabels": {"team": "a"}})["job"]
    check("launch", job)
    assert re.fullmatch(recording("ids")["pattern"], job["id"])
    check("queued", local.call("GET", f"jobs/{job['id']}", view="JOB_VIEW_ALL"))


@pytest.mark.parametrize("type_", ["JOB_TYPE_BATCH", "JOB_TYPE_STREAMING"])
def test_a_cancellation(local: Local, type_: str) -> None:
    job_id = start(local, type=type_)
    body = {"requestedState": "JOB_STATE_CANCELLED"}
    check("cancel", local.call("PUT", f"jobs/{job_id}", body))
    job = local.call("GET", f"jobs/{job_id}")
    assert (job["currentState"], job["requestedState"]) == (
        "JOB_STATE_CANCELLING",
        "JOB_STATE_CANCELLED",
    )
    local.runner.may_cancel.set()
    local.methods.close()
    assert "requestedState" not in local.call("GET", f"jobs/{job_id}")


@pytest.mark.parametrize("query", [{}, {"view": "JOB_VIEW_SUMMARY"}], ids=["default", "summary"])
def test_a_summary(local: Local, query: dict[str, str]) -> None:
    job_id = start(local)
    job = local.call("GET", f"jobs/{job_id}", **query)
    check("summary", job)
    check("sdk", job["jobMetadata"]["sdkVersion"])
    check("user-agent", job["environment"])
    assert job["environment"]["userAgent"]["support"] == recording("user-agent")["support"]
    stages = {
        stage["executionStageName"]: stage["executionStageState"] for stage in job["stageStates"]
    }
    assert stages == {
        "success1": "JOB_STATE_PENDING",
        "failure2": "JOB_STATE_PENDING",
        "start3": "JOB_STATE_DONE",
        "F4": "JOB_STATE_DONE",
        "F5": "JOB_STATE_RUNNING",
    }
    assert all(
        re.fullmatch(r".*:\d\d\.\d{3}Z", stage["currentStateTime"]) for stage in job["stageStates"]
    )


def test_a_streaming_job_can_be_scaled(local: Local) -> None:
    job_id = start(local, type="JOB_TYPE_STREAMING")
    job = local.call("GET", f"jobs/{job_id}")
    wanted = recording("streaming")
    check("streaming", job)
    assert job["runtimeUpdatableParams"] == {**wanted["runtimeUpdatableParams"], "maxNumWorkers": 1}
    (zone,) = job["serviceResources"]["zones"]
    assert re.fullmatch(wanted["zones"], zone)
    assert "serviceResources" not in local.call("GET", f"jobs/{start(local, 'batch')}")


def test_workers_without_public_addresses(local: Local) -> None:
    private = {"workerPools": [{"kind": "harness", "ipConfiguration": "WORKER_IP_PRIVATE"}]}
    job_id = start(local, environment={**STAGED["environment"], **private})
    assert "usePublicIps" not in local.call("GET", f"jobs/{job_id}")["environment"]


def test_an_item_of_a_list(local: Local) -> None:
    start(local)
    (item,) = local.call("GET", "jobs")["jobs"]
    check("list", item)


def test_a_created_job(local: Local) -> None:
    body = {**STAGED, "clientRequestId": "one"}
    del body["unknownToTheSchema"]
    check("create", local.call("POST", "jobs", body))


def test_metrics_and_autoscaling_events(local: Local) -> None:
    job_id = start(local)
    metrics = local.call("GET", f"jobs/{job_id}/metrics")["metrics"]
    names = {
        metric["name"]["name"]: metric["name"]["context"]["original_name"] for metric in metrics
    }
    assert names == recording("metrics")["names"]
    values = {metric["name"]["name"]: metric["scalar"] for metric in metrics}
    # Two workers of g2-standard-4 with 50 GB each.
    assert values["CurrentVcpuCount"] == 8
    assert values["CurrentMemoryUsage"] == 2 * 4 * 4096
    assert values["CurrentPdUsage"] == 100
    (event,) = local.call("GET", f"jobs/{job_id}/messages")["autoscalingEvents"]
    assert event["description"]["messageText"] == recording("autoscaling")["text"]
    assert event["currentNumWorkers"] == "2"


def say(job: dict[str, Any], *last: Event) -> list[tuple[str, str]]:
    """Return the messages and states of a job whose executor reports as the real one does."""
    announcer = Announcer("id", job, workers=1)
    reported: list[tuple[str, str]] = []
    fusing = MessageEvent(Importance.DETAILED, "Fusing consumer Map into Read")
    for event in (
        fusing,
        MessageEvent(Importance.BASIC, "Executing operation Read+Map"),
        StateEvent(JobState.RUNNING),
        fusing,  # of a second executor
        MessageEvent(Importance.DETAILED, "Workers have started successfully."),
        *last,
    ):
        for each in announcer.around(event):
            if isinstance(each, MessageEvent):
                reported.append((each.importance.removeprefix("JOB_MESSAGE_"), each.text))
            elif isinstance(each, StateEvent):
                reported.append(("STATE", each.state))
    return reported


@pytest.mark.parametrize("success", [True, False], ids=["done", "failed"])
def test_the_messages_of_a_job_and_their_order(success: bool) -> None:
    reported = say(STAGED, StateEvent(JobState.DONE if success else JobState.FAILED))
    wanted = recording("messages")["order"]
    if not success:
        wanted = [item for item in wanted if "success step" not in item[1]]
        wanted[-1] = ["STATE", "JOB_STATE_FAILED"]
    assert len(reported) == len(wanted)
    for (importance, text), (wanted_importance, pattern) in zip(reported, wanted, strict=True):
        assert importance == wanted_importance
        assert re.fullmatch(pattern, text), text


def test_the_messages_of_a_stream_and_their_order() -> None:
    reported = iter(say({**STAGED, "type": "JOB_TYPE_STREAMING"}))
    for importance, pattern in recording("stream-messages")["order"]:
        assert any(importance == said and re.fullmatch(pattern, text) for said, text in reported), (
            pattern
        )


def test_the_mean_size_of_elements() -> None:
    transform = beam_runner_api_pb2.PTransform(unique_name="Read", outputs={"None": "out"})
    metrics = JobMetrics(MetricNames(beam_runner_api_pb2.Components(transforms={"ref": transform})))
    metrics.begin("a", dict)
    sampled = MeanByteCount("out")
    metrics.commit("a", {sampled: Distribution(count=2, sum=62, min=30, max=32)})
    wanted = recording("mean-byte-count")["update"]
    committed, tentative = metrics.updates()
    assert committed == wanted
    assert tentative["name"]["context"].pop("tentative") == "true"
    assert tentative == wanted


@pytest.mark.parametrize(("fault", "name"), [("no-capacity", "capacity"), ("no-quota", "quota")])
def test_a_shortage_comes_after_running(local: Local, fault: str, name: str) -> None:
    local.http.post("/emulator/faults", json={"methodId": LAUNCH, "fault": fault})
    job_id = local.launch_id()
    assert local.call("GET", f"jobs/{job_id}")["currentState"] == "JOB_STATE_FAILED"
    messages = local.call("GET", f"jobs/{job_id}/messages")["jobMessages"]
    texts = [message["messageText"] for message in messages]
    assert texts.index("Starting worker pool setup.") == 0
    assert re.search(recording(name)["pattern"], "\n".join(texts))
    assert texts[-1] == "Tearing down pending resources..."


def test_a_runtime_parameter_given_twice(local: Local) -> None:
    given = {"input": "gs://data/in", "output": "gs://data/out", "serviceAccount": "a@b"}
    error = local.launch(parameters=given, environment={"serviceAccountEmail": "a@b"}, status=400)[
        "error"
    ]
    assert re.search(recording("taken-parameter")["pattern"], error["message"])


def test_what_is_aggregated_is_not_filtered_by_name(local: Local) -> None:
    for name in ("a", "b"):
        local.launch(name)
    url = "/v1b3/projects/p/jobs:aggregated"
    assert len(local.http.get(url, params={"name": "a"}).json()["jobs"]) == 2
    ids = [job["id"] for job in local.http.get(url).json()["jobs"]]
    assert ids == sorted(ids, reverse=True)


@pytest.mark.parametrize(
    ("fault", "method", "verb", "body", "status", "text"),
    [
        ("404", "get", "GET", None, 404, "RPC::DEADLINE_EXCEEDED"),
        (
            *("not-ready", "update", "PUT", {"requestedState": "JOB_STATE_CANCELLED"}, 400),
            "not yet ready for canceling",
        ),
    ],
)
def test_answers_that_come_early_in_a_jobs_life(
    local: Local, fault: str, method: str, verb: str, body: object, status: int, text: str
) -> None:
    job_id = local.launch_id()
    method_id = f"dataflow.projects.locations.jobs.{method}"
    local.http.post("/emulator/faults", json={"methodId": method_id, "fault": fault})
    assert text in local.call(verb, f"jobs/{job_id}", body, status=status)["error"]["message"]
    local.call(verb, f"jobs/{job_id}", body)
