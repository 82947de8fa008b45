"""Proto3 JSON is read, written and refused as it is by Google."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.emulator.service.discovery import Discovery
from launcher.emulator.service.errors import MOST_VIOLATIONS, ApiError


def refusals(discovery: Discovery, message: str, value: object) -> list[str]:
    with pytest.raises(ApiError) as caught:
        discovery.messages.parse(message, value)
    error = caught.value
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT")
    details = error.details[0]["fieldViolations"]
    assert [item["description"] for item in details] == error.message.split("\n")
    return error.message.split("\n")


def test_both_spellings_of_a_field_are_read(discovery: Discovery) -> None:
    parsed = discovery.messages.parse(
        "LaunchFlexTemplateRequest",
        {
            "launch_parameter": {
                "job_name": "j",
                "environment": {"max_workers": "3", "numWorkers": 2.0, "machineType": None},
            },
            "validateOnly": True,
        },
    )
    assert parsed == {
        "launchParameter": {"jobName": "j", "environment": {"maxWorkers": 3, "numWorkers": 2}},
        "validateOnly": True,
    }


@pytest.mark.parametrize(
    ("value", "refusal"),
    [
        (
            {"launchParameter": {"environment": {"foo": 1}}},
            'Invalid JSON payload received. Unknown name "foo" at '
            "'launch_parameter.environment': Cannot find field.",
        ),
        ({"foo": 1}, 'Invalid JSON payload received. Unknown name "foo": Cannot find field.'),
        (
            {"launchParameter": {"jobName": 5}},
            "Invalid value at 'launch_parameter.job_name' (TYPE_STRING), 5",
        ),
        (
            {"launchParameter": {"environment": {"maxWorkers": "many"}}},
            "Invalid value at 'launch_parameter.environment.max_workers' (TYPE_INT32), \"many\"",
        ),
        (
            {"launchParameter": {"environment": {"maxWorkers": 2**31}}},
            "Invalid value at 'launch_parameter.environment.max_workers' (TYPE_INT32), 2147483648",
        ),
        ({"validateOnly": "true"}, "Invalid value at 'validate_only' (TYPE_BOOL), \"true\""),
        (
            {"launchParameter": {"environment": {"ipConfiguration": "PRIVATE"}}},
            "Invalid value at 'launch_parameter.environment.ip_configuration' (TYPE_ENUM), "
            '"PRIVATE"',
        ),
        (
            {"launchParameter": {"parameters": {"a": "b", "n": 5}}},
            "Invalid value at 'launch_parameter.parameters[1].value' (TYPE_STRING), 5",
        ),
        (
            {"launchParameter": {"jobName": ["j"]}},
            "Invalid JSON payload received. Unknown name \"job_name\" at 'launch_parameter': "
            "Proto field is not repeating, cannot start list.",
        ),
        (
            {"launchParameter": {"jobName": {}}},
            "Invalid value at 'launch_parameter.job_name' (TYPE_STRING), Starting an object on a "
            "scalar field",
        ),
        (
            {"launchParameter": "x"},
            "Invalid value at 'launch_parameter' "
            '(type.googleapis.com/google.dataflow.v1beta3.LaunchFlexTemplateParameter), "x"',
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_path(
    discovery: Discovery, value: dict[str, Any], refusal: str
) -> None:
    assert refusals(discovery, "LaunchFlexTemplateRequest", value) == [refusal]


def test_all_refusals_come_at_once(discovery: Discovery) -> None:
    assert len(refusals(discovery, "Job", {"foo": 1, "name": 2, "createTime": "now"})) == 3


MANY = 300_000


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({f"k{number}": 0 for number in range(MANY)}, id="unknown-fields"),
        pytest.param(
            {"environment": {"additionalExperiments": [1] * MANY}}, id="values-of-another-type"
        ),
        pytest.param({"parameters": {f"k{n}": [] for n in range(MANY)}}, id="lists-in-a-map"),
    ],
)
def test_a_hostile_message_is_refused_before_it_is_read_whole(
    discovery: Discovery, value: object
) -> None:
    """A body of the largest size may contain millions of wrong fields, more than anybody reads."""
    assert len(refusals(discovery, "LaunchFlexTemplateParameter", value)) == MOST_VIOLATIONS


@pytest.mark.parametrize(
    "time", ["2026-11-22", "2026-11-22T10:00:00", "yesterday", 5, "0001-01-01T00:00:00+14:00"]
)
def test_times_need_a_zone(discovery: Discovery, time: object) -> None:
    assert "Timestamp" in refusals(discovery, "Job", {"createTime": time})[0]


def test_enums_are_read_by_number_too(discovery: Discovery) -> None:
    assert discovery.messages.parse("Job", {"requestedState": 5}) == {
        "requestedState": "JOB_STATE_CANCELLED"
    }
    assert discovery.messages.parse("JobMessage", {"messageImportance": 5}) == {
        "messageImportance": "JOB_MESSAGE_BASIC"
    }


def test_enum_numbers_are_those_of_the_client(discovery: Discovery) -> None:
    dataflow = pytest.importorskip("google.cloud.dataflow_v1beta3")
    enums = [
        ("Job", "currentState", dataflow.JobState),
        ("Job", "type", dataflow.JobType),
        ("JobMessage", "messageImportance", dataflow.JobMessageImportance),
    ]
    for message, field, enum in enums:
        for member in enum:
            rendered = discovery.messages.render(message, {field: member.name}, numeric_enums=True)
            assert rendered.get(field, 0) == member.value


def test_defaults_are_left_out_of_answers_but_not_of_free_values(discovery: Discovery) -> None:
    rendered = discovery.messages.render(
        "Job",
        {
            "name": "",
            "labels": {},
            "type": "JOB_TYPE_UNKNOWN",
            "satisfiesPzs": False,
            "environment": {"sdkPipelineOptions": {"options": {"streaming": False, "n": 0}}},
        },
    )
    assert rendered == {
        "environment": {"sdkPipelineOptions": {"options": {"streaming": False, "n": 0}}}
    }
    assert discovery.messages.render("MetricUpdate", {"scalar": 0}) == {"scalar": 0}


@pytest.mark.parametrize("job", [{"nmae": "j"}, {"create_time": "2026-11-22T10:00:00Z"}, []])
def test_answers_are_checked(discovery: Discovery, job: object) -> None:
    with pytest.raises(ValueError, match="Job"):
        discovery.messages.check("Job", job)
