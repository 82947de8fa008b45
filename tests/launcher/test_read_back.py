"""A launched job against what was asked for."""

from __future__ import annotations

import json

import pytest

from launcher import Accelerator, EnvironmentOptions, build_environment
from launcher.cli import main
from launcher.errors import JobMismatch
from launcher.jobs import wait_for_job
from launcher.read_back import ReadBack

ASKED = build_environment(EnvironmentOptions(accelerator=Accelerator("nvidia-l4")), image="h/i:1")
WORKER_L4 = ASKED.additional_experiments[0]


class Quiet:
    """An observer that only counts."""

    def __init__(self):
        self.calls = 0

    def on_job(self, job):
        self.calls += 1

    on_message = on_metrics = on_outage = on_job


def staged(**changes):
    pool = {
        "machineType": "g2-standard-4",
        "diskSizeGb": 50,
        "sdkHarnessContainerImages": [{"containerImage": "h/i@sha256:12"}],
    } | changes
    return {"experiments": [WORKER_L4, "use_runner_v2"], "workerPools": [pool]}


def wait(dataflow, service, environment, state="JOB_STATE_DONE"):
    job = service.add_job("fashion", currentState="JOB_STATE_RUNNING", environment=environment)
    inner = Quiet()
    observer = ReadBack(dataflow, ASKED, inner)

    def then_end(seconds):
        job["currentState"] = state

    wait_for_job(dataflow, job["id"], observer=observer, sleep=then_end)
    assert inner.calls >= 4
    return observer


def test_a_job_as_asked_for_goes_on(dataflow, service):
    observer = wait(dataflow, service, staged())
    assert observer.is_done
    assert not [call for call in service.calls if call[0] == "PUT"]


def expect_cancelled(dataflow, service, environment, code, message):
    with pytest.raises(JobMismatch) as caught:
        wait(dataflow, service, environment)
    assert f"ERROR {code}: " in str(caught.value)
    assert message in str(caught.value)
    assert json.loads(service.calls[-1][1]) == {"requestedState": "JOB_STATE_CANCELLED"}


def test_accelerator_lost(dataflow, service):
    environment = staged() | {"experiments": ["x"]}
    message = "the job has no such option"
    expect_cancelled(dataflow, service, environment, "job-accelerator", message)


def test_disk_not_applied(dataflow, service):
    message = "asked for disks of 50 GB, and the workers' have 25"
    expect_cancelled(dataflow, service, staged(diskSizeGb=25), "job-disk", message)


@pytest.mark.parametrize(
    ("environment", "code", "message"),
    [
        (staged(machineType="n1-standard-1"), "job-machine", "the workers are n1-standard-1"),
        (
            staged(sdkHarnessContainerImages=[{"containerImage": "apache/beam:2.77.0"}]),
            "job-image",
            "asked for the image h/i:1, and the workers run apache/beam:2.77.0",
        ),
    ],
)
def test_another_job_is_cancelled_with_the_reason(dataflow, service, environment, code, message):
    expect_cancelled(dataflow, service, environment, code, message)


def test_the_accelerator_may_be_a_service_option(dataflow, service):
    environment = staged() | {"experiments": [], "serviceOptions": [WORKER_L4]}
    wait(dataflow, service, environment)


def test_run_reads_the_job_back(monkeypatch, service, storage, capsys):
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW", service.endpoint)
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", "my-project")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.endpoint)
    spec = "gs://my-bucket/t.json"
    assert main(["build", spec, "--image", "image:1", "--accelerator", "nvidia-l4:1"]) == 0
    service.new_job_fields = {"currentState": "JOB_STATE_RUNNING", "environment": staged()}
    status = main(
        [
            *("run", "fashion", "--template-file-gcs-location", spec, "--wait"),
            *("--parameters=input=gs://my-bucket/a.csv", "--parameters=output=gs://my-bucket/o"),
            "--parameters=model_path=gs://my-bucket/m.pth",
        ]
    )
    assert status == 1
    err = capsys.readouterr().err
    assert "is not what was asked for, and was cancelled." in err
    assert "asked for the image image:1, and the workers run h/i@sha256:12" in err
