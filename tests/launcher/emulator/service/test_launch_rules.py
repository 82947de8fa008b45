"""Launches are accepted and refused by the service's rules, with the service's messages."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.emulator.runtime.events import StateEvent
from launcher.emulator.runtime.states import JobState
from tests.launcher.emulator.service.conftest import SPEC, SPEC_PATH, Local

GOOD = {"input": "gs://data/in", "output": "gs://data/out"}


def refusal(local: Local, *, status: int = 400, **parameter: Any) -> dict[str, Any]:
    error: dict[str, Any] = local.launch(status=status, **parameter)["error"]
    assert not local.runner.launched
    assert local.call("GET", "jobs") == {}
    return error


def test_an_accepted_launch_is_run(local: Local) -> None:
    job = local.launch(
        "my-job",
        parameters={**GOOD, "num_workers": "3", "sdk_location": "container"},
        environment={
            "maxWorkers": 7,
            "tempLocation": "gs://data/temp/",
            "stagingLocation": "gs://data/staging",
            "enableStreamingEngine": False,
        },
        launchOptions={"ft_launch_timeout_secs": "30"},
    )["job"]
    (launch,) = local.runner.launched
    assert local.runner.launched_ids == [job["id"]]
    assert launch.job_name == "my-job"
    assert (launch.project_id, launch.region, launch.image) == ("p", "europe-west1", "local/batch")
    assert launch.parameters == {**GOOD, "num_workers": "3", "sdk_location": "container"}
    assert launch.runtime_environment == {
        "machineType": "n1-standard-4",
        "maxWorkers": 7,
        "tempLocation": "gs://data/temp/",
        "stagingLocation": "gs://data/staging",
    }
    assert launch.staging_location == "gs://data/staging"
    assert launch.temp_location == "gs://data/temp"
    assert launch.launch_timeout_sec == 30


def test_the_answer_holds_the_job_without_its_state(local: Local) -> None:
    job = local.launch("j")["job"]
    assert job == {
        "id": job["id"],
        "projectId": "p",
        "name": "j",
        "location": "europe-west1",
        "createTime": job["createTime"],
        "startTime": job["createTime"],
        "currentStateTime": "1970-01-01T00:00:00Z",
    }


def test_violations_come_all_at_once(local: Local) -> None:
    error = refusal(
        local,
        parameters={"input": "here", "outptu": "gs://o", "workerMachineType": "n1-standard-1"},
        environment={"machineType": "n1-standard-2"},
    )
    violations = {
        "output": "Missing required parameter",
        "outptu": "Unrecognized parameter",
        "input": "Parameter didn't match regex '^gs://.+$'",
        "workerMachineType": "Runtime parameter workerMachineType should not be specified in both "
        "parameters field and environment field. Specifying runtime parameters in environment "
        "field is recommended.",
    }
    lines = [f"{name}: {description}" for name, description in violations.items()]
    assert error == {
        "code": 400,
        "status": "INVALID_ARGUMENT",
        "message": "\n".join(["The template parameters are invalid. Details: ", *lines]),
        "details": [
            {
                "@type": "type.googleapis.com/google.dataflow.v1beta3.InvalidTemplateParameters",
                "parameterViolations": [
                    {"parameter": name, "description": description}
                    for name, description in violations.items()
                ],
            }
        ],
    }


@pytest.mark.parametrize("name", ["streaming", "disk_size_gb", "defaultWorkerLogLevel"])
def test_options_that_dataflow_does_not_take_undeclared(local: Local, name: str) -> None:
    error = refusal(local, parameters={**GOOD, name: "x"})
    assert f"{name}: Unrecognized parameter" in error["message"]


def test_a_spec_without_metadata_takes_any_parameter(local: Local) -> None:
    spec = {name: value for name, value in SPEC.items() if name != "metadata"}
    path = local.write_spec(spec, "bare.json")
    local.launch(containerSpecGcsPath=path, parameters={"anything": "goes"})
    assert local.runner.launched[0].parameters == {"anything": "goes"}


def test_a_spec_may_come_with_the_request(local: Local) -> None:
    local.launch(containerSpecGcsPath=None, containerSpec=SPEC)
    assert local.runner.launched[0].image == "local/batch"


@pytest.mark.parametrize(
    "parameter", [{"containerSpecGcsPath": ""}, {"containerSpec": SPEC}], ids=["none", "both"]
)
def test_one_spec_is_wanted(local: Local, parameter: dict[str, Any]) -> None:
    assert refusal(local, **parameter)["message"].startswith("Exactly one of")


def test_a_spec_that_is_not_there(local: Local) -> None:
    for path in ("gs://templates/none.json", "gs://nowhere/batch.json"):
        error = refusal(local, status=404, containerSpecGcsPath=path)
        assert error["message"].endswith(f": Unable to open template file: {path}.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "Invalid template file {path}. It is not JSON: "),
        (b"[]", "Invalid template file {path}. Invalid value (type.googleapis.com/"),
        (
            {**SPEC, "metadata": {"parameters": [{"name": 1}]}},
            "Invalid template file {path}. Invalid value at 'metadata.parameters[0].name' ",
        ),
        ({**SPEC, "image": ""}, "Invalid template file {path}. Its field image names no"),
        ({"image": "local/batch"}, "No SDK language information is provided."),
        (
            {**SPEC, "metadata": {"parameters": [{"name": "input", "regexes": ["("]}]}},
            "The metadata of the template is invalid. Parameter input: regex '(' cannot be read",
        ),
        (
            {**SPEC, "metadata": {"parameters": [{"name": "input", "regexes": ["[[:wrong:]]"]}]}},
            "The metadata of the template is invalid. Parameter input: regex '[[:wrong:]]' cannot "
            "be read: invalid character class range: [:wrong:]",
        ),
    ],
)
def test_a_spec_that_is_wrong(local: Local, content: object, message: str) -> None:
    path = local.write_spec(content, "wrong.json")
    error = refusal(local, containerSpecGcsPath=path)
    assert error["status"] == "INVALID_ARGUMENT"
    assert error["message"].startswith(message.replace("{path}", path))


def test_a_regex_must_match_the_whole_value(local: Local) -> None:
    spec = {**SPEC, "metadata": {"parameters": [{"name": "input", "regexes": ["[[:alpha:]]+"]}]}}
    path = local.write_spec(spec, "egrep.json")
    error = refusal(local, containerSpecGcsPath=path, parameters={"input": "a1"})
    assert "input: Parameter didn't match regex '[[:alpha:]]+'" in error["message"]
    assert local.launch(containerSpecGcsPath=path, parameters={"input": "a"})["job"]


@pytest.mark.parametrize("language", ["JAVA", "GO", "YAML"])
def test_templates_of_other_sdks_are_not_pretended(local: Local, language: str) -> None:
    spec = {**SPEC, "sdkInfo": {"language": language}}
    error = refusal(local, status=501, containerSpecGcsPath=local.write_spec(spec, "other.json"))
    assert f"flexTemplates.launch: sdkInfo.language {language} is not" in error["message"]


def test_a_spec_at_a_wrong_path(local: Local) -> None:
    error = refusal(local, containerSpecGcsPath="/tmp/spec.json")
    assert "must name an object in Cloud Storage" in error["message"]


def test_a_spec_may_hold_more_than_is_known(local: Local) -> None:
    path = local.write_spec({**SPEC, "_comment": "x", "sdk_info": SPEC["sdkInfo"]}, "more.json")
    assert local.launch(containerSpecGcsPath=path)["job"]


@pytest.mark.parametrize("name", ["", "Job", "1job", "job-", "jo_b", "j" * 1025])
def test_job_names(local: Local, name: str) -> None:
    error = local.launch(name, status=400)["error"]
    assert error["message"].startswith("JobName invalid; the name must consist of only")


def test_an_active_job_keeps_its_name(local: Local) -> None:
    job_id = local.launch_id("j")
    launch = {"jobName": "j", "containerSpecGcsPath": SPEC_PATH, "parameters": GOOD}
    body: dict[str, Any] = {"launchParameter": launch}
    error = local.call("POST", "flexTemplates:launch", body, status=409)["error"]
    assert error["status"] == "ALREADY_EXISTS"
    assert "There is already an active job named j. If you want" in error["message"]
    assert local.call("POST", "flexTemplates:launch", {**body, "validateOnly": True}) == {}
    local.record(job_id, StateEvent(JobState("JOB_STATE_FAILED")))
    local.launch("j")


def test_validate_only_creates_nothing(local: Local) -> None:
    launch = {"jobName": "j", "containerSpecGcsPath": SPEC_PATH, "parameters": GOOD}
    body: dict[str, Any] = {"launchParameter": launch, "validateOnly": True}
    assert local.call("POST", "flexTemplates:launch", body) == {}
    assert not local.runner.launched
    assert local.call("GET", "jobs") == {}
    assert [bucket.name for bucket in local.store.list_buckets()] == ["templates"]
    launch["parameters"] = {}
    assert local.call("POST", "flexTemplates:launch", body, status=400)


def test_dataflow_provides_a_staging_bucket(local: Local) -> None:
    local.launch("a")
    local.launch("b")
    launch = local.runner.launched[1]
    bucket = launch.staging_location.removeprefix("gs://").removesuffix("/staging")
    assert bucket.startswith("dataflow-staging-europe-west1-")
    assert launch.temp_location == f"gs://{bucket}/temp"
    assert local.store.get_bucket(bucket)


@pytest.mark.parametrize(
    ("parameter", "staging", "temp"),
    [
        ({"environment": {"tempLocation": "gs://b/t"}}, "gs://b/t", "gs://b/t"),
        ({"environment": {"stagingLocation": "gs://b/s"}}, "gs://b/s", "gs://b/s"),
        (
            {"parameters": {**GOOD, "staging_location": "gs://b/s", "tempLocation": "gs://b/t"}},
            "gs://b/s",
            "gs://b/t",
        ),
    ],
)
def test_one_location_stands_in_for_the_other(
    local: Local, parameter: dict[str, Any], staging: str, temp: str
) -> None:
    local.launch(**parameter)
    launch = local.runner.launched[0]
    assert (launch.staging_location, launch.temp_location) == (staging, temp)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"environment": {"tempLocation": "/tmp"}}, "environment.tempLocation '/tmp' must be"),
        (
            {"environment": {"workerRegion": "r", "workerZone": "r-a"}},
            "environment.workerRegion and environment.workerZone are mutually exclusive",
        ),
        ({"launchOptions": {"ft_launch_timeout_secs": "soon"}}, "ft_launch_timeout_secs 'soon'"),
    ],
)
def test_environment_and_options(local: Local, parameter: dict[str, Any], message: str) -> None:
    assert message in refusal(local, **parameter)["message"]


def test_updating_a_job_is_not_implemented(local: Local) -> None:
    error = refusal(local, status=501, update=True)
    assert "flexTemplates.launch: launchParameter.update is not implemented" in error["message"]


def test_what_the_job_is_known_to_be_before_it_is_staged(local: Local) -> None:
    path = local.write_spec({**SPEC, "metadata": {"name": "s", "streaming": True}}, "s.json")
    gpu = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    job_id = local.launch(
        containerSpecGcsPath=path,
        parameters={},
        environment={"additionalExperiments": [gpu], "additionalUserLabels": {"team": "a"}},
    )["job"]["id"]
    job = local.call("GET", f"jobs/{job_id}", view="JOB_VIEW_ALL")
    assert job["currentState"] == "JOB_STATE_QUEUED"
    assert "type" not in job
    assert job["labels"] == {"team": "a"}
    assert job["environment"] == {"dataset": "bigquery.googleapis.com/cloud_dataflow"}


def test_a_job_that_cannot_start_fails(local: Local) -> None:
    local.runner.error = OSError("no more processes")
    with pytest.raises(OSError, match="no more processes"):
        local.launch("j")
    (job,) = local.call("GET", "jobs")["jobs"]
    assert job["currentState"] == "JOB_STATE_FAILED"
    (message,) = local.call("GET", f"jobs/{job['id']}/messages")["jobMessages"]
    assert message["messageText"] == "The job did not start: no more processes"


def test_the_metadata_of_a_template_can_be_read(local: Local) -> None:
    answer = local.call("GET", "templates:get", gcsPath=SPEC_PATH, view="METADATA_ONLY")
    assert answer["templateType"] == "FLEX"
    assert answer["metadata"] == SPEC["metadata"]
    assert answer["runtimeMetadata"] == {
        "sdkInfo": SPEC["sdkInfo"],
        "parameters": SPEC["metadata"]["parameters"],
    }
    assert local.call("GET", "templates:get", gcsPath="gs://templates/none.json", status=404)
    assert "gcsPath" in local.call("GET", "templates:get", status=400)["error"]["message"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("autoscaling_algorithm", "NONE"),
        ("enable_launcher_vm_serial_port_logging", "true"),
        ("enable_streaming_engine", "true"),
        ("machine_type", "n1-standard-1"),
        ("max_num_workers", "2"),
        ("num_workers", "2"),
        ("number_of_worker_harness_threads", "1"),
        ("sdk_container_image", "local/batch"),
        ("sdk_location", "container"),
        ("staging_location", "gs://templates/staging"),
        ("temp_location", "gs://templates/temp"),
        ("workerMachineType", "n1-standard-1"),
    ],
)
def test_options_that_dataflow_takes_undeclared(local: Local, name: str, value: str) -> None:
    local.launch(parameters={**GOOD, name: value})
    assert local.runner.launched[0].parameters[name] == value


def test_labels_that_break_the_rules(local: Local) -> None:
    for labels in ({"Team": "a"}, {f"k{number}": "v" for number in range(65)}):
        error = refusal(local, environment={"additionalUserLabels": labels})
        assert error["status"] == "INVALID_ARGUMENT"
        job = {"name": "own", "labels": labels}
        assert local.call("POST", "jobs", job, status=400)["error"]["message"] == error["message"]
