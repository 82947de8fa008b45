"""A launched job compared with the request."""

from __future__ import annotations

import pytest

from launcher import (
    Accelerator,
    EnvironmentOptions,
    Milestone,
    build_environment,
    follow_job,
    verify_job,
)
from launcher.emulator.runtime.events import Importance
from launcher.google.rest import from_rest
from launcher.jobs.errors import JobMismatch
from launcher.jobs.records import Job
from launcher.jobs.verify import compare_job, format_comparisons
from tests.launcher.service import UPDATE, Outcome

NO_MODULE = "ModuleNotFoundError: No module named 'x'"
REQUESTED = build_environment(
    EnvironmentOptions(accelerator=Accelerator("nvidia-l4")), image="h/i:1"
)
WORKER_L4 = REQUESTED.additional_experiments[0]


def staged(**changes):
    pool = {
        "machineType": "g2-standard-4",
        "diskSizeGb": 50,
        "sdkHarnessContainerImages": [{"containerImage": "h/i@sha256:12"}],
    } | changes
    return {"experiments": [WORKER_L4, "use_runner_v2"], "workerPools": [pool]}


def follow(dataflow, service, environment):
    job = service.add_job("fashion", environment=environment)
    return follow_job(dataflow, job.id, until=Milestone.STAGED, requested=REQUESTED)


def test_a_requested_job_goes_on(dataflow, service):
    followed = follow(dataflow, service, staged())
    names = [(item.name, item.is_reported) for item in followed.comparisons]
    assert names == [("accelerator", True), ("machine type", True), ("disk", True), ("image", True)]
    assert service.updates == []


def expect_cancelled(dataflow, service, environment, code, message):
    with pytest.raises(JobMismatch) as caught:
        follow(dataflow, service, environment)
    assert f"ERROR {code}: " in str(caught.value)
    assert message in str(caught.value)
    assert service.updates == [{"requestedState": "JOB_STATE_CANCELLED"}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "type:nvidia-tesla-t4;count:1",
            "requested nvidia-l4:1, but the workers have nvidia-tesla-t",
        ),
        ("type:nvidia-l4;count:2;install-nvidia-driver", "but the workers have nvidia-l4:2"),
    ],
)
def test_another_accelerator(dataflow, service, value, message):
    environment = staged() | {"experiments": [f"worker_accelerator={value}"]}
    expect_cancelled(dataflow, service, environment, "job-accelerator", message)


@pytest.mark.parametrize(
    "options",
    [
        ["worker_accelerator=count:1;type:nvidia-l4;install-nvidia-driver"],
        ["worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:550"],
        ["worker_accelerator=type:nvidia-l4"],
        ["x", " worker_accelerator=type:nvidia-l4; count:1"],
    ],
)
def test_an_accelerator_in_other_words_goes_on(dataflow, service, options):
    followed = follow(dataflow, service, staged() | {"experiments": options})
    assert ("accelerator", True) in [(each.name, each.is_reported) for each in followed.comparisons]


def test_what_is_not_reported_cancels_nothing(dataflow, service):
    environment = staged(diskSizeGb=0, machineType="") | {"experiments": ["x"]}
    followed = follow(dataflow, service, environment)
    assert format_comparisons(followed.comparisons) == (
        "The job has what was requested: image. "
        "The job does not report: accelerator, machine type, disk."
    )
    assert service.updates == []


def test_disk_not_applied(dataflow, service):
    message = "requested disks of 50 GB, but the workers' have 25"
    expect_cancelled(dataflow, service, staged(diskSizeGb=25), "job-disk", message)


@pytest.mark.parametrize(
    ("environment", "code", "message"),
    [
        (staged(machineType="n1-standard-1"), "job-machine", "the workers are n1-standard-1"),
        (
            staged(sdkHarnessContainerImages=[{"containerImage": "apache/beam:2.77.0"}]),
            "job-image",
            "requested the image h/i:1, but the workers run apache/beam:2.77.0",
        ),
    ],
)
def test_another_job_is_cancelled_with_the_reason(dataflow, service, environment, code, message):
    expect_cancelled(dataflow, service, environment, code, message)


def test_the_accelerator_may_be_a_service_option(dataflow, service):
    environment = staged() | {"experiments": [], "serviceOptions": [WORKER_L4]}
    follow(dataflow, service, environment)


@pytest.mark.parametrize(
    ("reported", "is_same"),
    [
        ("h/i:1", True),
        ("h/i@sha256:12", True),
        ("h/i:2", False),
        ("h/i", False),
        ("h/other:1", False),
    ],
)
def test_the_digest_of_a_tag_passes_and_another_tag_does_not(reported, is_same):
    image = [{"containerImage": reported}]
    job = from_rest(Job, {"id": "1", "environment": staged(sdkHarnessContainerImages=image)})
    (compared,) = [item for item in compare_job(job, REQUESTED) if item.name == "image"]
    assert (compared.mismatch is None) is is_same


def test_a_job_that_has_ended_is_reported_and_not_cancelled(dataflow, service):
    job = service.add_job("fashion", "DONE", environment=staged(diskSizeGb=25))
    with pytest.raises(JobMismatch, match="differs from the request, and has ended already"):
        verify_job(dataflow, job.id, REQUESTED)
    assert service.updates == []


def test_a_job_that_cannot_be_cancelled_is_reported_with_the_reason(dataflow, service):
    job = service.add_job("fashion", environment=staged(diskSizeGb=25))
    service.say(UPDATE, 403, "You may not.")
    with pytest.raises(JobMismatch) as caught:
        verify_job(dataflow, job.id, REQUESTED)
    assert "continues, because it could not be cancelled (" in str(caught.value)
    assert "You may not." in str(caught.value)
    assert "ERROR job-disk: " in str(caught.value)


def test_what_the_job_does_not_report_is_named(dataflow, service):
    job = service.add_job("fashion")
    comparisons = verify_job(dataflow, job.id, REQUESTED)
    assert format_comparisons(comparisons) == (
        "The job does not report: accelerator, machine type, disk, image."
    )


@pytest.fixture
def launch(cloud, storage, flexpack):
    spec = "gs://my-bucket/t.json"
    for name in ("a.csv", "m.pth"):
        storage.store.write("my-bucket", name, b"x")
    assert flexpack("build", spec, "--image", "h/i:1", "--accelerator", "nvidia-l4:1")[0] == 0

    def run(*flags):
        return flexpack(
            *("run", "fashion", "--template-file-gcs-location", spec, *flags),
            *("--parameters=input=gs://my-bucket/a.csv", "--parameters=output=gs://my-bucket/o"),
            "--parameters=model_path=gs://my-bucket/m.pth",
        )

    return run


@pytest.mark.parametrize("flags", [(), ("--wait",)])
def test_run_cancels_another_job(launch, service, flags):
    wrong = staged(sdkHarnessContainerImages=[{"containerImage": "apache/beam:2.77.0"}])
    service.outcomes.append(Outcome("RUNNING", document={"environment": wrong}))
    status, _, err = launch(*flags)
    assert status == 1
    assert "differs from the request, and was cancelled." in err
    assert "requested the image h/i:1, but the workers run apache/beam:2.77.0" in err
    assert service.updates == [{"requestedState": "JOB_STATE_CANCELLED"}]


def test_run_verifies_the_job_and_leaves_it_running(launch, service):
    service.outcomes.append(Outcome("RUNNING", document={"environment": staged()}))
    status, out, _ = launch()
    assert status == 0
    assert "JOB_STATE_RUNNING\n" in out
    assert "The job has what was requested: accelerator, machine type, disk, image.\n" in out
    assert out.endswith(f"Follow it:  flexpack jobs wait {service.jobs[0].id}\n")


def test_run_follows_a_launcher_until_it_fails(launch, service):
    service.outcomes.append(Outcome("FAILED", [NO_MODULE], Importance.ERROR))
    status, _, err = launch()
    assert status == 1
    assert "Cause (workers-lack-code)" in err


def test_run_gives_up_in_time(launch, service):
    status, _, err = launch("--timeout-sec=0")
    assert status == 1
    assert "is JOB_STATE_QUEUED after 0 s of waiting and keeps running; stop it with" in err
    assert "The job was not verified" in err


def test_async_verifies_nothing(launch, service):
    status, out, _ = launch("--async")
    assert status == 0
    assert "The job was not verified" in out
    assert service.calls[-1].verb == "POST"
    status, _, err = launch("--async", "--wait")
    assert status == 2
    assert "--wait: not allowed with --async" in err
