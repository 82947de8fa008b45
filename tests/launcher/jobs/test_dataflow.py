"""The client against a Dataflow that plays faults over real HTTP."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
import requests
from google.auth.exceptions import RefreshError, TransportError

from launcher import (
    ApiError,
    CredentialsError,
    Dataflow,
    LaunchUncertain,
    MessageImportance,
    Unreachable,
    build_launch_request,
)
from launcher.errors import FormatError
from launcher.google.transport import is_google


def test_launch(service, dataflow, config, naps):
    job = dataflow.launch(build_launch_request(config))

    assert job.id == service.jobs[0]["id"]
    assert job.name == "fashion"
    assert service.launch_calls == 1
    assert naps == []


@pytest.mark.parametrize("fault", ["drop-after", "503-after", "hang", "garbage", "no-job"])
def test_a_launch_whose_answer_is_lost_is_found_and_not_repeated(service, dataflow, config, fault):
    service.launch_faults.append(fault)

    job = dataflow.launch(build_launch_request(config))

    assert service.launch_calls == 1
    assert [job.id] == [created["id"] for created in service.jobs]


@pytest.mark.parametrize("fault", ["drop-before", "503-before"])
def test_a_launch_that_had_no_effect_is_repeated(service, dataflow, config, fault):
    service.launch_faults.append(fault)

    job = dataflow.launch(build_launch_request(config))

    assert service.launch_calls == 2
    assert [job.id] == [created["id"] for created in service.jobs]


def test_a_launch_that_takes_effect_after_the_look_is_not_doubled(service, dataflow, config):
    service.launch_faults.append("drop-late")

    job = dataflow.launch(build_launch_request(config))

    assert service.launch_calls == 2
    assert [job.id] == [created["id"] for created in service.jobs]


def test_without_visible_labels_a_new_job_of_the_name_is_the_launched_one(
    service, dataflow, config
):
    service.add_job("fashion", currentState="JOB_STATE_DONE")
    service.shows_labels = False
    service.launch_faults.append("drop-after")

    job = dataflow.launch(build_launch_request(config))

    assert job.id == service.jobs[1]["id"]
    assert len(service.jobs) == 2


def test_another_clients_job_of_the_same_name_is_not_taken_for_ours(service, dataflow, config):
    service.add_job("fashion", labels={"flexpack-launch-id": "somebody-else"})

    with pytest.raises(ApiError, match="409 ALREADY_EXISTS: There is already an active job"):
        dataflow.launch(build_launch_request(config))

    assert len(service.jobs) == 1


def test_a_repeated_task_finds_the_job_of_its_first_try(service, dataflow, config):
    first = dataflow.launch(build_launch_request(config))
    again = dataflow.launch(build_launch_request(config))

    assert again.id == first.id
    assert len(service.jobs) == 1


def test_too_many_requests_is_repeated_without_a_look(service, dataflow, config, naps):
    service.launch_faults.extend(["429", "429"])

    dataflow.launch(build_launch_request(config))

    assert [method for method, _ in service.calls] == ["GET", "POST", "POST", "POST"]
    assert naps == [1.0, 2.0]
    assert len(service.jobs) == 1


def test_attempts_are_bounded(service, dataflow, config):
    service.launch_faults.extend(["503-before"] * 10)

    with pytest.raises(ApiError, match="launching 'fashion': Dataflow answered 503 UNAVAILABLE"):
        dataflow.launch(build_launch_request(config))

    assert service.launch_calls == 3
    assert service.jobs == []


def test_a_refused_launch_is_not_repeated_and_names_every_parameter(service, dataflow, config):
    service.launch_faults.append("400")

    with pytest.raises(ApiError) as caught:
        dataflow.launch(build_launch_request(config))

    assert service.launch_calls == 1
    assert caught.value.violations == (("input", "Missing required parameter"),)
    assert str(caught.value) == (
        "launching 'fashion': Dataflow answered 400 INVALID_ARGUMENT: "
        "The template parameters are invalid.\n  input: Missing required parameter"
    )


def test_what_cannot_be_found_out_is_said(service, dataflow, config):
    service.launch_faults.append("drop-after")
    service.read_faults_after_launch.extend([503] * 3)

    with pytest.raises(
        LaunchUncertain, match=r"It is unknown whether.*503.*\n.*flexpack jobs list"
    ):
        dataflow.launch(build_launch_request(config))

    assert service.launch_calls == 1


def test_who_may_not_list_jobs_may_launch(service, dataflow, config):
    service.read_faults.append((403, "dataflow.jobs.list"))
    assert dataflow.launch(build_launch_request(config)).id == service.jobs[0]["id"]


def test_without_the_right_to_list_jobs_a_lost_answer_stays_lost(service, dataflow, config):
    service.read_faults.append((403, "dataflow.jobs.list"))
    service.launch_faults.append("drop-after")
    service.read_faults_after_launch.append((403, "dataflow.jobs.list"))
    with pytest.raises(LaunchUncertain, match=r"It is unknown whether.*dataflow\.jobs\.list"):
        dataflow.launch(build_launch_request(config))
    assert service.launch_calls == 1


def test_nothing_is_launched_where_nothing_answers(service, config, naps):
    endpoint = service.endpoint
    service.close()
    dataflow = Dataflow("my-project", "us-central1", endpoint=endpoint, sleep=naps.append)

    with pytest.raises(Unreachable, match=f"no connection to {endpoint}"):
        dataflow.launch(build_launch_request(config))


@pytest.mark.parametrize("faults", [[503, 0], [429], [500]])
def test_reads_are_repeated(service, dataflow, faults, naps):
    service.add_job("fashion", labels={"a": "b"})
    service.read_faults.extend(faults)

    job = dataflow.get(service.jobs[0]["id"])

    assert job.labels == {"a": "b"}
    assert len(naps) == len(faults)


def test_reads_are_repeated_a_few_times_only(service, dataflow):
    service.read_faults.extend([503] * 10)

    with pytest.raises(ApiError, match="reading job x: Dataflow answered 503"):
        dataflow.get("x")

    assert len(service.calls) == 3


@pytest.mark.parametrize(
    ("problem", "raised", "attempts"),
    [
        (TransportError("the metadata server is away"), Unreachable, 3),
        (RefreshError("503", retryable=True), Unreachable, 3),
        (RefreshError("invalid_grant"), CredentialsError, 1),
    ],
)
def test_a_token_that_cannot_be_fetched_now_is_an_outage(naps, problem, raised, attempts):
    asked = []

    class Session(requests.Session):
        def request(self, method, url, **options):
            asked.append(url)
            raise problem

    dataflow = Dataflow("p", "r", session=Session(), sleep=naps.append)
    with pytest.raises(raised, match=re.escape(str(problem))):
        dataflow.get("x")
    assert len(asked) == attempts


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://dataflow.googleapis.com/", True),
        ("https://dataflow.googleapis.com", True),
        ("https://dataflow-mine.p.googleapis.com/", True),
        ("http://dataflow.googleapis.com/", False),
        ("https://googleapis.com.example.org/", False),
        ("http://localhost:9100/", False),
    ],
)
def test_credentials_go_to_google_alone(endpoint, expected):
    assert is_google(endpoint) is expected


def test_a_missing_job_is_reported_in_the_services_words(service, dataflow):
    with pytest.raises(ApiError, match="404 NOT_FOUND: Information about job x could not be found"):
        dataflow.get("x")

    assert len(service.calls) == 1


def test_what_the_service_does_not_implement_is_not_repeated(service, dataflow):
    service.read_faults.append(501)

    with pytest.raises(ApiError, match="501"):
        dataflow.get("x")

    assert len(service.calls) == 1


def test_an_answer_of_another_shape_names_its_field(service, dataflow):
    job = service.add_job("fashion", labels=["a"])

    with pytest.raises(FormatError, match=r"labels: expected an object, got \['a'\]"):
        dataflow.get(job["id"])


def test_list_reads_all_pages_up_to_the_limit(service, dataflow):
    for number in range(5):
        service.add_job("even" if number % 2 == 0 else "odd")

    assert len(dataflow.list()) == 5
    assert [job.name for job in dataflow.list(name="odd")] == ["odd", "odd"]
    assert [job.id for job in dataflow.list(limit=1)] == [service.jobs[-1]["id"]]


def test_messages_of_all_pages(service, dataflow):
    service.messages = [
        {
            "id": str(number),
            "time": f"2026-11-22T13:00:0{number}.123456789Z",
            "messageText": f"text {number}",
            "messageImportance": "JOB_MESSAGE_ERROR",
        }
        for number in range(5)
    ]

    messages = dataflow.messages(
        "1",
        minimum_importance=MessageImportance.ERROR,
        start_time=datetime(2026, 11, 22, tzinfo=UTC),
    )

    assert [message.message_text for message in messages] == [f"text {n}" for n in range(5)]
    assert messages[0].time == datetime(2026, 11, 22, 13, 0, 0, 123456, tzinfo=UTC)
    assert "minimumImportance=JOB_MESSAGE_ERROR" in service.calls[0][1]
    assert "startTime=2026-11-22T00%3A00%3A00Z" in service.calls[0][1]


def test_cancel_waits_until_the_job_can_be_cancelled(service, dataflow, naps):
    job = service.add_job("fashion")
    service.update_faults.append((400, "Job is not yet ready for canceling. Please retry."))

    dataflow.cancel(job["id"], force=True)

    bodies = [json.loads(body) for method, body in service.calls if method == "PUT"]
    assert (
        bodies
        == [{"requestedState": "JOB_STATE_CANCELLED", "labels": {"force_cancel_job": "true"}}] * 2
    )
    assert len(naps) == 1


def test_drain(service, dataflow):
    job = service.add_job("fashion")

    dataflow.drain(job["id"])

    assert service.calls == [("PUT", '{"requestedState": "JOB_STATE_DRAINED"}')]


def test_a_proxys_page_gives_its_first_line(service, dataflow):
    service.update_faults.append((403, "<h1>Blocked by Proxy</h1>\n<p>much more</p>"))

    with pytest.raises(ApiError) as caught:
        dataflow.drain("x")

    assert str(caught.value) == ("draining job x: Dataflow answered 403: <h1>Blocked by Proxy</h1>")


def test_the_dry_run_is_what_would_be_sent(service, dataflow, config):
    call = dataflow.dry_run(build_launch_request(config))

    assert service.calls == []
    assert call.method == "POST"
    assert call.url == (
        f"{service.endpoint}v1b3/projects/my-project/locations/us-central1/flexTemplates:launch"
        "?alt=json"
    )
    assert call.body["launchParameter"]["parameters"] == {"input": "gs://my-bucket/a,b=c.csv"}
