"""The client against the local Dataflow's service, which simulates faults over real HTTP."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import requests
from google.auth.exceptions import RefreshError, TransportError

from launcher import (
    ApiError,
    CredentialsError,
    Dataflow,
    JobState,
    LaunchUncertain,
    MessageImportance,
    Unreachable,
    build_launch_request,
)
from launcher.emulator.runtime.events import Importance
from launcher.errors import FormatError
from launcher.google.transport import is_google
from tests.launcher.service import GET, LAUNCH, LIST, UPDATE, Outcome


def test_launch(service, dataflow, config, naps):
    job = dataflow.launch(build_launch_request(config))

    assert [job.id] == [each.id for each in service.jobs]
    assert job.name == "fashion"
    assert service.launch_calls == 1
    assert naps == []


@pytest.mark.parametrize("fault", ["drop-after", "503-after", "delay-after"])
def test_a_launch_whose_answer_is_lost_is_found_and_not_repeated(service, dataflow, config, fault):
    service.fault(LAUNCH, fault, delay_sec=2.5)  # longer than the client waits

    job = dataflow.launch(build_launch_request(config))

    assert service.launch_calls == 1
    assert [job.id] == [created.id for created in service.jobs]


@pytest.mark.parametrize("answer", ["<html>", {}], ids=["a page", "no job"])
def test_a_launch_whose_answer_is_of_another_shape_is_found(service, dataflow, config, answer):
    service.say(LAUNCH, 200, answer, after=True)

    job = dataflow.launch(build_launch_request(config))

    assert service.launch_calls == 1
    assert [job.id] == [created.id for created in service.jobs]


@pytest.mark.parametrize("fault", ["drop", "503"])
def test_a_launch_that_had_no_effect_is_repeated(service, dataflow, config, fault):
    service.fault(LAUNCH, fault)

    job = dataflow.launch(build_launch_request(config))

    assert service.launch_calls == 2
    assert [job.id] == [created.id for created in service.jobs]


def test_a_launch_that_takes_effect_after_the_look_is_not_doubled(service, config, naps):
    service.fault(LAUNCH, "delay", delay_sec=1.3)  # longer than the client waits
    service.fault(LAUNCH, "delay", delay_sec=0.7)  # until the first has taken effect
    place = ("my-project", "us-central1")
    dataflow = Dataflow(*place, endpoint=service.endpoint, timeout_sec=1, sleep=naps.append)

    job = dataflow.launch(build_launch_request(config))

    assert service.launch_calls == 2
    assert [job.id] == [created.id for created in service.jobs]


def test_without_visible_labels_a_new_job_of_the_name_is_the_launched_one(
    service, dataflow, config
):
    service.add_job("fashion", "DONE")
    service.outcomes.append(Outcome("QUEUED", document={"labels": {}}))
    service.fault(LAUNCH, "drop-after")

    job = dataflow.launch(build_launch_request(config))

    assert job.id == service.jobs[1].id
    assert len(service.jobs) == 2


def test_another_clients_job_of_the_same_name_is_not_taken_for_ours(service, dataflow, config):
    service.add_job("fashion", labels={"flexpack-launch-id": "somebody-else"})

    with pytest.raises(
        ApiError, match=r"409 ALREADY_EXISTS: \(\w+\): There is already an active job"
    ):
        dataflow.launch(build_launch_request(config))

    assert len(service.jobs) == 1


def test_a_repeated_task_finds_the_job_of_its_first_try(service, dataflow, config):
    first = dataflow.launch(build_launch_request(config))
    again = dataflow.launch(build_launch_request(config))

    assert again.id == first.id
    assert len(service.jobs) == 1


def test_too_many_requests_is_repeated_without_a_look(service, dataflow, config, naps):
    service.fault(LAUNCH, "429", count=2)

    dataflow.launch(build_launch_request(config))

    assert [call.verb for call in service.calls] == ["GET", "POST", "POST", "POST"]
    assert naps == [1.0, 2.0]
    assert len(service.jobs) == 1


def test_attempts_are_bounded(service, dataflow, config):
    service.fault(LAUNCH, "503", count=10)

    with pytest.raises(ApiError, match="launching 'fashion': Dataflow answered 503 UNAVAILABLE"):
        dataflow.launch(build_launch_request(config))

    assert service.launch_calls == 3
    assert service.jobs == []


def test_a_refused_launch_is_not_repeated_and_names_every_parameter(service, dataflow, config):
    with pytest.raises(ApiError) as caught:
        dataflow.launch(build_launch_request(replace(config, parameters={})))

    assert service.launch_calls == 1
    assert caught.value.violations == (("input", "Missing required parameter"),)
    assert str(caught.value) == (
        "launching 'fashion': Dataflow answered 400 INVALID_ARGUMENT: "
        "The template parameters are invalid.\n  input: Missing required parameter"
    )


def test_what_cannot_be_found_out_is_said(service, dataflow, config):
    service.fault(LAUNCH, "drop-after")
    service.fault(LIST, "delay")  # immediately: the look before the launch
    service.fault(LIST, "503", count=3)

    with pytest.raises(
        LaunchUncertain, match=r"It is unknown whether.*503.*\n.*flexpack jobs list"
    ):
        dataflow.launch(build_launch_request(config))

    assert service.launch_calls == 1


def test_who_may_not_list_jobs_may_launch(service, dataflow, config):
    service.say(LIST, 403, "dataflow.jobs.list")
    assert dataflow.launch(build_launch_request(config)).id == service.jobs[0].id


def test_without_the_right_to_list_jobs_a_lost_answer_stays_lost(service, dataflow, config):
    for _ in range(2):  # before the launch and after it
        service.say(LIST, 403, "dataflow.jobs.list")
    service.fault(LAUNCH, "drop-after")
    with pytest.raises(LaunchUncertain, match=r"It is unknown whether.*dataflow\.jobs\.list"):
        dataflow.launch(build_launch_request(config))
    assert service.launch_calls == 1


def test_nothing_is_launched_where_nothing_answers(service, config, naps):
    service.stop_answering()
    dataflow = Dataflow("my-project", "us-central1", endpoint=service.endpoint, sleep=naps.append)

    with pytest.raises(Unreachable, match=f"no connection to {service.endpoint}"):
        dataflow.launch(build_launch_request(config))


@pytest.mark.parametrize("faults", [["503", "drop"], ["429"]], ids="-".join)
def test_reads_are_repeated(service, dataflow, faults, naps):
    added = service.add_job("fashion", labels={"a": "b"})
    for fault in faults:
        service.fault(GET, fault)

    assert dataflow.get(added.id).labels == {"a": "b"}
    assert len(naps) == len(faults)


def test_a_read_is_repeated_after_an_error_of_the_server(service, dataflow, naps):
    added = service.add_job("fashion")
    service.say(GET, 500, "Internal error encountered.")

    assert dataflow.get(added.id).name == "fashion"
    assert len(naps) == 1


def test_reads_are_repeated_a_few_times_only(service, dataflow):
    service.fault(GET, "503", count=10)

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
    with pytest.raises(ApiError, match=r"404 NOT_FOUND: \(\w+\): Information about job x could"):
        dataflow.get("x")

    assert len(service.calls) == 1


def test_what_the_service_does_not_implement_is_not_repeated(service, dataflow):
    service.say(GET, 501, "not here")

    with pytest.raises(ApiError, match="501"):
        dataflow.get("x")

    assert len(service.calls) == 1


def test_an_answer_of_another_shape_names_its_field(service, dataflow):
    service.say(GET, 200, {"id": "x", "labels": ["a"]})

    with pytest.raises(FormatError, match=r"labels: expected an object, got \['a'\]"):
        dataflow.get("x")


def test_list_reads_all_pages_up_to_the_limit(service, dataflow):
    for number in range(5):
        service.add_job("even" if number % 2 == 0 else "odd", "DONE")

    assert len(dataflow.list()) == 5
    assert [job.name for job in dataflow.list(name="odd")] == ["odd", "odd"]
    assert [job.id for job in dataflow.list(limit=1)] == [service.jobs[-1].id]


def test_messages_of_all_pages(service, dataflow):
    job_id = service.add_job("fashion").id
    start = service.now
    service.add_message(job_id, "of less importance")
    for number in range(5):
        service.add_message(job_id, f"text {number}", Importance.ERROR)

    messages = dataflow.messages(
        job_id, minimum_importance=MessageImportance.ERROR, start_time=start
    )

    assert [message.message_text for message in messages] == [f"text {n}" for n in range(5)]
    assert {message.time for message in messages} == {start}
    assert len(service.calls) == 3
    assert "minimumImportance=JOB_MESSAGE_ERROR" in service.calls[0].target
    assert "startTime=2026-11-22T13%3A00%3A01Z" in service.calls[0].target


def test_cancel_waits_until_the_job_can_be_cancelled(service, dataflow, naps):
    job = service.add_job("fashion")
    service.fault(UPDATE, "not-ready")

    dataflow.cancel(job.id, force=True)

    body = {"requestedState": "JOB_STATE_CANCELLED", "labels": {"force_cancel_job": "true"}}
    assert service.updates == [body] * 2
    assert len(naps) == 1
    assert service.jobs[0].state in (JobState.CANCELLING, JobState.CANCELLED)


def test_drain(service, dataflow):
    job = service.add_job("fashion", type="JOB_TYPE_STREAMING")

    dataflow.drain(job.id)

    assert service.updates == [{"requestedState": "JOB_STATE_DRAINED"}]
    assert service.drained == [job.id]
    assert dataflow.get(job.id).current_state is JobState.DRAINING


def test_a_proxys_page_gives_its_first_line(service, dataflow):
    service.say(UPDATE, 403, "<h1>Blocked by Proxy</h1>\n<p>much more</p>")

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
