"""Faults strike the calls of their method, in order, and the queue reports which have struck."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient

from launcher.emulator.gzip_requests import GzipRequests
from launcher.emulator.service.errors import ApiError
from launcher.emulator.service.faults import DroppedConnection, Fault, FaultKind, FaultQueue
from launcher.emulator.storage.app import build_storage_app
from launcher.emulator.storage.errors import NotFound
from launcher.emulator.storage.methods import MethodTable
from launcher.emulator.storage.store import ObjectStore
from tests.launcher.emulator.service.conftest import Local

GET = "dataflow.projects.locations.jobs.get"
LAUNCH = "dataflow.projects.locations.flexTemplates.launch"
CONTROL = "/emulator/faults"
LAUNCH_PARAMETER = {
    "jobName": "lost",
    "containerSpecGcsPath": "gs://templates/batch.json",
    "parameters": {"input": "gs://data/in", "output": "gs://data/out"},
}


def queue(local: Local, fault: str, method_id: str = GET, **fields: Any) -> dict[str, Any]:
    answer = local.http.post(CONTROL, json={"methodId": method_id, "fault": fault, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def met(local: Local) -> list[bool]:
    return [fault["met"] for fault in local.http.get(CONTROL).json()["faults"]]


def test_faults_are_met_in_order_by_calls_of_their_method(local: Local) -> None:
    job_id = local.launch_id()
    queue(local, "429")
    queue(local, "503", count=2)
    queue(local, "503", LAUNCH)
    local.call("GET", f"jobs/{job_id}/messages")
    assert met(local) == [False] * 4
    too_many = local.call("GET", f"jobs/{job_id}", status=429)["error"]
    assert too_many["status"] == "RESOURCE_EXHAUSTED"
    assert local.call("GET", f"jobs/{job_id}", status=503)["error"]["status"] == "UNAVAILABLE"
    assert met(local) == [True, True, False, False]
    local.call("GET", f"jobs/{job_id}", status=503)
    assert local.call("GET", f"jobs/{job_id}")["id"] == job_id
    assert met(local) == [True, True, True, False]
    assert local.http.delete(CONTROL).json() == {"faults": []}
    local.launch("other")


def test_a_503_before_and_after_the_effect(local: Local) -> None:
    queue(local, "503", LAUNCH)
    queue(local, "503-after", LAUNCH)
    local.launch(status=503)
    assert local.call("GET", "jobs") == {}
    local.launch(status=503)
    assert [job["name"] for job in local.call("GET", "jobs")["jobs"]] == ["job"]


def test_a_refused_call_can_lose_its_answer_too(local: Local) -> None:
    queue(local, "503-after", LAUNCH)
    local.launch("Not a name", status=503)
    assert met(local) == [True]


@pytest.mark.parametrize("kind", ["delay", "delay-after"])
def test_a_delayed_answer_comes(local: Local, kind: str) -> None:
    reported = queue(local, kind, delaySec=0.01)
    fault = {"methodId": GET, "fault": kind, "delaySec": 0.01, "met": False}
    assert reported == {"faults": [fault]}
    local.call("GET", "jobs/none", status=404)
    assert met(local) == [True]


def test_a_job_that_is_accepted_fails_for_want_of_capacity_or_quota(local: Local) -> None:
    queue(local, "no-capacity", LAUNCH)
    queue(local, "no-quota", LAUNCH, count=2)
    queue(local, "503", LAUNCH)
    local.launch(status=503)
    local.launch("Not a name", status=400)
    assert met(local) == [False, False, False, True]
    gpu = "worker_accelerator=type:nvidia-h100-80gb;count:1;install-nvidia-driver"
    environments: list[dict[str, Any]] = [
        {"workerZone": "europe-west4-c", "numWorkers": 3},
        {"workerRegion": "europe-west4", "additionalExperiments": ["x", gpu]},
        {"additionalPipelineOptions": ["dataflow_service_options=enable_prime"]},
    ]
    reported = []
    for environment in environments:
        job_id = local.launch(environment=environment)["job"]["id"]
        assert local.call("GET", f"jobs/{job_id}")["currentState"] == "JOB_STATE_FAILED"
        path = f"jobs/{job_id}/messages"
        answer = local.call("GET", path, minimumImportance="JOB_MESSAGE_ERROR")
        reported.append(answer["jobMessages"][0]["messageText"])
    assert met(local) == [True] * 4
    assert local.runner.launched == []
    startup = "Startup of the worker pool in {} failed to bring up any of the desired {} workers."
    expected = [
        (
            startup.format("europe-west4", 3),
            "The zone 'projects/p/zones/europe-west4-c' does not have enough resources",
        ),
        (
            startup.format("europe-west4", 1),
            "Quota 'NVIDIA_H100_GPUS' exceeded.  Limit: 0.0 in region europe-west4.",
        ),
        (
            startup.format("europe-west1", 1),
            "Quota 'CPUS' exceeded.  Limit: 0.0 in region europe-west1.",
        ),
    ]
    for text, (beginning, cause) in zip(reported, expected, strict=True):
        assert text.startswith(beginning)
        assert cause in text
    local.launch_id()
    assert len(local.runner.launched) == 1


def test_a_dropped_connection_carries_no_byte(local: Local, endpoint: str) -> None:
    queue(local, "drop")
    queue(local, "drop-after", LAUNCH)
    address = urlsplit(endpoint).netloc
    path = "/v1b3/projects/p/locations/europe-west1"
    for verb, url, body in (
        ("GET", f"{path}/jobs/x", None),
        ("POST", f"{path}/flexTemplates:launch", json.dumps({"launchParameter": LAUNCH_PARAMETER})),
    ):
        connection = http.client.HTTPConnection(address, timeout=10)
        connection.request(verb, url, body)
        with pytest.raises(http.client.RemoteDisconnected):
            connection.getresponse()
        connection.close()
    assert [job["name"] for job in local.call("GET", "jobs")["jobs"]] == ["lost"]
    assert len(local.runner.launched) == 1


@pytest.mark.parametrize("kind", ["delay", "delay-after"])
def test_a_delayed_call_takes_effect_even_if_its_client_has_left(
    local: Local, endpoint: str, kind: str
) -> None:
    queue(local, kind, LAUNCH, delaySec=0.3)
    path = "/v1b3/projects/p/locations/europe-west1/flexTemplates:launch"
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=0.1)
    connection.request("POST", path, json.dumps({"launchParameter": LAUNCH_PARAMETER}))
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    deadline = time.monotonic() + 30
    while not (jobs := local.call("GET", "jobs").get("jobs")):
        assert time.monotonic() < deadline, "the launch had no effect"
        time.sleep(0.05)
    assert [job["name"] for job in jobs] == ["lost"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"methodId": "jobs.get", "fault": "503"}, "methodId 'jobs.get' is not a method of"),
        ({"methodId": GET, "fault": "500"}, "fault '500' is not one of 429, 503, 503-after, drop,"),
        ({"methodId": GET}, "fault None is not one of"),
        ({"methodId": GET, "fault": "503", "count": 0}, "count 0 must be"),
        ({"methodId": GET, "fault": "503", "count": 1001}, "At most 1000 faults are kept"),
        ({"methodId": GET, "fault": "delay", "delaySec": "1"}, "delaySec '1' must be"),
        ({"methodId": GET, "fault": "503", "times": 2}, "unknown: times"),
        ({"methodId": GET, "fault": "no-quota"}, "'no-quota' strikes only jobs of"),
        ([], "A fault is an object with the fields count, delaySec, fault, methodId."),
    ],
)
def test_faults_that_cannot_be_queued(local: Local, body: object, message: str) -> None:
    answer = local.http.post(CONTROL, json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert met(local) == []


@pytest.mark.parametrize("kind", ["404", "not-ready"])
def test_storage_does_not_give_dataflows_answers(kind: str) -> None:
    faults = FaultQueue(["storage.objects.get"])
    with pytest.raises(ApiError, match="an answer of Dataflow, not of storage"):
        faults.add(Fault(method_id="storage.objects.get", kind=FaultKind(kind)))


def test_no_web_page_queues_faults(local: Local) -> None:
    answer = local.http.post(CONTROL, json={}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


@pytest.mark.parametrize("kind", ["503-after", "drop-after"])
@pytest.mark.parametrize("refusal", [NotFound("No such object"), OSError(28, "disk full")])
def test_an_answer_that_is_lost_may_be_a_refusal(kind: str, refusal: Exception) -> None:
    faults = FaultQueue(["storage.objects.get"])
    faults.add(Fault(method_id="storage.objects.get", kind=FaultKind(kind)))

    async def refuse() -> Response:
        raise refusal

    answer = asyncio.run(faults.play("storage.objects.get", Request({"type": "http"}), refuse))
    assert answer.status_code == 503 or isinstance(answer, DroppedConnection)


def test_what_storage_refuses_is_lost_too(tmp_path: Path) -> None:
    faults = FaultQueue(MethodTable().ids)
    with closing(ObjectStore(tmp_path)) as store:
        http = TestClient(GzipRequests(build_storage_app(store, intercept=faults.play)))
        for url, headers in (("/b/none/o/x", {}), ("/b/none", {"Content-Encoding": "gzip"})):
            method = "storage.objects.get" if "/o/" in url else "storage.buckets.patch"
            faults.add(Fault(method_id=method, kind=FaultKind.ERROR_503_AFTER))
            verb = "GET" if "/o/" in url else "PATCH"
            answer = http.request(verb, f"/storage/v1{url}", headers=headers, content=b"no gzip")
            assert answer.status_code == 503, answer.text
    assert all(fault.met for fault in faults.list())
