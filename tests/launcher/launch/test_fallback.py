"""Launching elsewhere if there is no capacity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launcher import Accelerator, Fallback, InputError
from launcher.emulator.runtime.events import Importance
from launcher.google.storage import find_blob
from launcher.launch.fallback import apply_fallbacks
from tests.launcher.service import GET, LAUNCH, Outcome

SPEC = "gs://my-bucket/t.json"
NO_CAPACITY = (
    "Startup of the worker pool in us-central1 failed. ZONE_RESOURCE_POOL_EXHAUSTED: Instance 'i' "
    "creation failed: The zone 'projects/p/zones/us-central1-a' does not have enough resources."
)


def test_each_fallback_changes_the_launch(config):
    config = replace(
        config,
        accelerator=Accelerator("nvidia-l4"),
        worker_machine_type="g2-standard-8",
        worker_zone="us-central1-a",
    )
    texts = [
        "region=europe-west4",
        "accelerator=nvidia-tesla-t4:1",
        "worker-zone=us-central1-b,worker_machine_type=g2-standard-4",
    ]
    first, elsewhere, other_gpu, other_zone = apply_fallbacks(config, [*map(Fallback.parse, texts)])
    assert first is config
    assert (elsewhere.job_name, elsewhere.region) == ("fashion-2", "europe-west4")
    assert (elsewhere.worker_zone, elsewhere.worker_machine_type) == (None, "g2-standard-8")
    assert other_gpu.accelerator == Accelerator("nvidia-tesla-t4")
    assert (other_gpu.region, other_gpu.worker_machine_type) == ("us-central1", None)
    assert (other_zone.job_name, other_zone.worker_zone) == ("fashion-4", "us-central1-b")
    assert len({each.launch_id for each in (first, elsewhere, other_gpu, other_zone)}) == 4


def test_long_names_stay_legal(config):
    (_, second) = apply_fallbacks(replace(config, job_name="a" * 63), [Fallback.parse("region=x")])
    assert second.job_name == "a" * 61 + "-2"


@pytest.mark.parametrize("text", ["regoin=x", "region", "region=", "region=a,region=b", ""])
def test_other_fallbacks_are_refused(text):
    with pytest.raises(InputError, match=f"--fallback '{text}'"):
        Fallback.parse(text)


@pytest.fixture
def launch(cloud, flexpack):
    assert flexpack("build", SPEC, "--image", "image:1")[0] == 0
    for name in ("a", "m.pth"):
        find_blob(f"gs://my-bucket/{name}", None).upload_from_string("")

    def run(*flags):
        return flexpack(
            *("run", "fashion", "--template-file-gcs-location", SPEC),
            *("--parameters=input=gs://my-bucket/a", "--parameters=output=gs://my-bucket/o"),
            *("--parameters=model_path=gs://my-bucket/m.pth", *flags),
        )

    return run


def test_the_ladder_is_climbed_while_there_is_no_capacity(launch, service):
    service.fault(LAUNCH, "no-capacity")
    service.fault(LAUNCH, "no-quota")
    service.outcomes.append(Outcome("DONE"))
    status, out, _ = launch(
        *("--wait", "--accelerator=nvidia-l4:1", "--fallback=region=europe-west4"),
        *("--fallback", "accelerator=nvidia-tesla-t4:1", "--fallback", "region=us-east1"),
    )
    assert status == 0
    assert [job.name for job in service.jobs] == ["fashion", "fashion-2", "fashion-3"]
    regions = [job.region for job in service.jobs]
    assert regions == ["us-central1", "europe-west4", "us-central1"]
    assert "No machines or GPUs are left in the zone or region: Startup of the worker" in out
    assert "Nothing in the template is wrong. Trying (2/4): region=europe-west4\n" in out
    assert "A quota of the project is too small: " in out
    assert "Trying (3/4): accelerator=nvidia-tesla-t4:1\n" in out


def test_any_other_failure_ends_it(launch, service):
    no_module = "ModuleNotFoundError: No module named 'x'"
    service.outcomes.append(Outcome("FAILED", [no_module], Importance.ERROR))
    status, out, err = launch("--wait", "--fallback=region=europe-west4")
    assert status == 1
    assert len(service.jobs) == 1
    assert "Trying" not in out
    assert "Cause (workers-lack-code)" in err


def test_a_job_that_had_workers_is_not_launched_elsewhere(launch, service):
    texts = ["Workers have started successfully.", NO_CAPACITY]
    service.outcomes.append(Outcome("FAILED", texts, Importance.ERROR))
    status, out, err = launch("--wait", "--fallback=region=europe-west4")
    assert status == 1
    assert len(service.jobs) == 1
    assert "Trying" not in out
    assert "Cause (no-capacity)" in err


def test_a_refused_question_about_the_job_is_no_want_of_capacity(launch, service):
    service.say(GET, 403, "Quota exceeded for quota metric 'Requests'")
    status, out, err = launch("--wait", "--fallback=region=europe-west4")
    assert status == 1
    assert len(service.jobs) == 1
    assert "Trying" not in out
    assert "Quota exceeded for quota metric" in err


def test_the_last_rung_ends_it_with_the_remedy(launch, service):
    service.fault(LAUNCH, "no-capacity", count=2)
    status, _, err = launch("--wait", "--fallback=region=europe-west4")
    assert status == 1
    assert len(service.jobs) == 2
    assert "Remedy: Launch elsewhere: --fallback region=REGION" in err


def test_every_rung_is_checked_before_the_first_launch(launch, service):
    flags = ["--accelerator=nvidia-l4:1", "--fallback=worker_machine_type=n1-standard-4", "--wait"]
    status, _, err = launch(*flags)
    assert status == 2
    assert "ERROR gpu-machine: --worker-machine-type n1-standard-4" in err
    status, _, err = launch("--fallback=accelerator=nvidia-tesla-k80:1", "--wait")
    assert status == 2
    assert "the nearest is 'nvidia-tesla-t4'" in err
    status, _, err = launch("--fallback=region=x", "--async")
    assert (status, "--fallback: cannot be combined with --async" in err) == (2, True)
    assert service.jobs == []


@pytest.mark.parametrize(
    ("text", "importance"),
    [
        ("Workers have started successfully.", Importance.DETAILED),
        (
            "All workers have finished the startup processes and began to receive work",
            Importance.BASIC,
        ),
    ],
    ids=["detailed", "basic"],
)
def test_without_wait_a_ladder_ends_where_workers_have_started(launch, service, text, importance):
    service.fault(LAUNCH, "no-capacity")
    service.outcomes.append(Outcome("RUNNING", [text], importance))
    status, out, _ = launch("--fallback=region=europe-west4")
    assert status == 0
    assert [job.name for job in service.jobs] == ["fashion", "fashion-2"]
    assert f"Follow it:  flexpack jobs wait {service.jobs[1].id} --region europe-west4\n" in out


def test_without_wait_a_ladder_waits_for_the_workers(launch, service):
    service.outcomes.append(Outcome("RUNNING", ["Starting 1 workers in us-central1-a..."]))
    status, _, err = launch("--fallback=region=europe-west4", "--timeout-sec=0")
    assert status == 1
    assert "is JOB_STATE_RUNNING after 0 s of waiting" in err
