"""``flexpack build`` and ``flexpack run``: what they print, where, and their exit status."""

from __future__ import annotations

import json

import pytest

from launcher.google.storage import find_blob
from launcher.package.spec import parse_spec

SPEC = "gs://my-bucket/templates/batch.json"
GOOD = [
    *("--parameters", "input=gs://my-bucket/images/a,b=c.csv"),
    *("--parameters", "output=gs://my-bucket/out"),
    *("--parameters", "model_path=gs://my-bucket/model.pth"),
]


@pytest.fixture
def template(cloud, flexpack):
    assert flexpack("build", SPEC, "--image", "image:1")[0] == 0
    find_blob("gs://my-bucket/model.pth", None).upload_from_string("")


def test_build_prints_or_uploads(flexpack, storage, cloud):
    flags = [
        *("--image", "image:1", "--accelerator", "nvidia-l4:1", "--max-workers", "3"),
        *("--additional-experiments", "a,b", "--additional-experiments", "c=d"),
        *("--additional-user-labels", "team=ml,cost=low", "--disable-public-ips"),
    ]
    status, printed, _ = flexpack("build", SPEC, *flags, "--print-only")
    assert status == 0
    environment = parse_spec(printed).default_environment
    assert environment.additional_experiments == (
        "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:latest",
        *("a", "b", "c=d", "no_use_multiple_sdk_containers"),
    )
    assert environment.additional_user_labels == {"team": "ml", "cost": "low"}
    assert environment.ip_configuration == "WORKER_IP_PRIVATE"

    status, out, _ = flexpack("build", SPEC, *flags)
    assert status == 0
    assert out.startswith(f"Built {SPEC} (generation ")
    assert f"flexpack run JOB_NAME --template-file-gcs-location {SPEC}" in out
    stored = storage.store.read("my-bucket", "templates/batch.json").decode()
    assert stored == printed.rstrip("\n")


def test_the_dry_run_prints_the_request_and_sends_nothing(flexpack, service, template):
    arguments = ["run", "fashion", "--template-file-gcs-location", SPEC, *GOOD]
    status, out, _ = flexpack(*arguments, "--accelerator", "nvidia-l4:1", "--dry-run")

    assert status == 0
    first, _, body = out.partition("\n")
    assert first == (
        f"POST {service.endpoint}v1b3/projects/my-project/locations/us-central1/"
        "flexTemplates:launch?alt=json"
    )
    parameter = json.loads(body)["launchParameter"]
    assert parameter["parameters"]["input"] == "gs://my-bucket/images/a,b=c.csv"
    assert parameter["environment"]["additionalExperiments"] == [
        "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:latest",
        "no_use_multiple_sdk_containers",
    ]
    assert service.calls == []


def test_an_unchecked_dry_run_needs_neither_credentials_nor_network(flexpack, monkeypatch):
    status, out, _ = flexpack(
        *("run", "fashion", "--template-file-gcs-location", SPEC, "--dry-run", "--no-check"),
        *("--project", "p", "--region", "us-east1"),
    )
    assert status == 0
    assert out.startswith(
        "POST https://dataflow.googleapis.com/v1b3/projects/p/locations/us-east1/flexTemplates"
    )


def test_run_says_how_to_go_on(flexpack, service, template):
    status, out, err = flexpack(
        "run", "fashion", "--template-file-gcs-location", SPEC, *GOOD, "--async"
    )

    job_id = service.jobs[0].id
    assert (status, err) == (0, "")
    assert out == (
        "Launched fashion in us-central1.\n"
        f"  job id   {job_id}\n"
        f"  follow   flexpack jobs wait {job_id}\n"
        f"  cancel   flexpack jobs cancel {job_id}\n"
        "The job was not verified: --async does not compare it with what was requested.\n"
    )
    assert service.jobs[0].document["labels"].keys() == {"flexpack-launch-id"}


def test_run_names_project_and_region_where_they_are_not_the_defaults(flexpack, service, template):
    _, out, _ = flexpack(
        *("run", "fashion", "--template-file-gcs-location", SPEC, *GOOD),
        *("--project", "other", "--region", "us-east1", "--async"),
    )
    job_id = service.jobs[0].id
    assert f"flexpack jobs wait {job_id} --project other --region us-east1\n" in out


def test_wrong_parameters_launch_nothing(flexpack, service, template):
    status, out, err = flexpack(
        *("run", "fashion", "--template-file-gcs-location", SPEC),
        *("--parameters", "inptu=x", "--parameters", "output=gs://my-bucket/o"),
    )
    assert (status, out) == (2, "")
    assert err.startswith("flexpack: the check found 3 errors; nothing was launched.")
    assert "--parameters input: missing" in err
    assert "--parameters model_path: missing" in err
    assert "--parameters inptu: the template has no such parameter; did you mean 'input'?" in err
    assert service.launch_calls == 0


def test_findings_are_ignored_by_code_or_all_at_once(flexpack, service, template):
    bad = ["run", "a", "--template-file-gcs-location", SPEC, *GOOD, "--parameters=device=cuda"]
    status, _, err = flexpack(*bad)
    assert status == 2
    assert "ERROR gpu-missing: --parameters device=cuda: the job requests no accelerator" in err
    assert "    Add --accelerator nvidia-l4:1" in err
    assert flexpack(*bad, "--async", "--ignore", "gpu-missing")[0] == 0
    again = [word if word != "a" else "b" for word in bad]
    assert flexpack(*again, "--async", "--no-check")[0] == 0
    status, _, err = flexpack(*bad, "--ignore", "gpu-mising")
    assert status == 2
    assert "--ignore 'gpu-mising': no such code; did you mean 'gpu-missing'?" in err


def test_a_missing_spec_launches_nothing(flexpack, service, template):
    status, _, err = flexpack("run", "a", "--template-file-gcs-location", "gs://my-bucket/x.json")
    assert status == 2
    assert err == (
        "flexpack: --template-file-gcs-location gs://my-bucket/x.json: there is no such object; "
        "'flexpack build' writes it\n"
    )
    assert service.launch_calls == 0


@pytest.mark.parametrize("command", [["run", "a"], ["check"]])
def test_a_file_that_is_no_spec_is_named(flexpack, service, storage, template, command):
    storage.store.write("my-bucket", "a.csv", b"a,b\n")
    status, out, err = flexpack(
        *command, "--template-file-gcs-location", "gs://my-bucket/a.csv", *GOOD
    )
    assert (status, out) == (2, "")
    assert err.startswith(
        "flexpack: --template-file-gcs-location gs://my-bucket/a.csv: no container spec, as "
        "'flexpack build' writes it: not JSON:"
    )
    assert service.launch_calls == 0


def test_a_refusal_of_the_service_is_shown_in_its_words(flexpack, service, template):
    launch = ["run", "fashion", "--template-file-gcs-location", SPEC, *GOOD[2:], "--no-check"]
    status, _, err = flexpack(*launch)
    assert status == 1
    assert err == (
        "flexpack: launching 'fashion': Dataflow answered 400 INVALID_ARGUMENT: The template "
        "parameters are invalid.\n  input: Missing required parameter\n"
    )
