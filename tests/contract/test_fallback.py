"""The fallbacks of ``flexpack run``; the running emulator simulates the failures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest

from tests.contract.conftest import REGION, Faults, LocalDataflow
from tests.support import BIN, PROJECT, run

LAUNCH = "dataflow.projects.locations.flexTemplates.launch"


@pytest.fixture
def faults(local_dataflow: LocalDataflow) -> Iterator[Faults]:
    faults = Faults(local_dataflow.info.dataflow_endpoint)
    yield faults
    faults.clear()


@pytest.fixture
def fall_back(local_dataflow: LocalDataflow) -> Callable[..., CompletedProcess[str]]:
    """Run a template with two fallbacks; expect that exit status."""

    def fall_back(name: str, entry_file: str, status: int, *flags: str) -> CompletedProcess[str]:
        return run(
            *(str(BIN / "flexpack"), "run", name, f"--project={PROJECT}", f"--region={REGION}"),
            f"--template-file-gcs-location={local_dataflow.spec_path(entry_file)}",
            f"--staging-location={local_dataflow.root}/staging",
            f"--parameters=output={local_dataflow.root}/{name}/rows",
            *("--accelerator=nvidia-l4:1", *flags),
            *("--fallback=region=europe-west4", "--fallback=accelerator=nvidia-tesla-t4:1"),
            env=local_dataflow.env,
            status=status,
        )

    return fall_back


def test_the_third_launch_finds_its_machines(
    faults: Faults, fall_back: Callable[..., CompletedProcess[str]]
) -> None:
    faults.queue(LAUNCH, "no-capacity")
    faults.queue(LAUNCH, "no-quota")

    printed = fall_back("climbs", "count.py", 0, "--wait").stdout.splitlines()

    assert faults.met() == ["no-capacity", "no-quota"]
    steps = [
        line for line in printed if line.startswith(("Launched", "A quota", "No", "JOB_STATE"))
    ]
    expected = [
        "Launched climbs in europe-west1.",
        "JOB_STATE_FAILED after",
        "No machines or GPUs are left in the zone or region: Startup of the worker pool in "
        "europe-west1 failed to bring up any of the desired 1 workers. ",
        "Nothing in the template is wrong. Trying (2/3): region=europe-west4",
        "Launched climbs-2 in europe-west4.",
        "JOB_STATE_FAILED after",
        "A quota of the project is too small: Workflow failed. Causes: Project flexpack-tests has "
        "insufficient quota(s) to execute this workflow with 1 instances in region europe-west4.",
        "Nothing in the template is wrong. Trying (3/3): accelerator=nvidia-tesla-t4:1",
        "Launched climbs-3 in europe-west1.",
        "JOB_STATE_DONE after",
    ]
    assert [line[: len(start)] for line, start in zip(steps, expected, strict=True)] == expected


def test_a_failure_of_another_kind_stops_at_once(
    fall_back: Callable[..., CompletedProcess[str]],
) -> None:
    done = fall_back("stops", "asks_for_metrics.py", 1, "--wait")

    assert "Trying" not in done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("Launched")] == [
        "Launched stops in europe-west1."
    ]
    assert "Cause (metrics-in-launcher)" in done.stderr


def test_without_wait_fallbacks_are_tried_until_workers_have_started(
    local_dataflow: LocalDataflow,
    faults: Faults,
    fall_back: Callable[..., CompletedProcess[str]],
) -> None:
    faults.queue(LAUNCH, "no-capacity")

    printed = fall_back("climbs-on", "holds.py", 0).stdout

    assert faults.met() == ["no-capacity"]
    assert "Launched climbs-on-2 in europe-west4." in printed
    assert "The job has what was requested: accelerator, machine type, disk, image." in printed
    (job_id,) = re.findall(r"The job keeps running\. Follow it:  flexpack jobs wait (\S+)", printed)
    region = "--region=europe-west4"
    flexpack = (str(BIN / "flexpack"), "jobs")
    texts = run(*flexpack, "messages", job_id, region, "--importance=detailed",
                env=local_dataflow.env).stdout  # fmt: skip
    run(*flexpack, "cancel", job_id, region, env=local_dataflow.env)
    assert "Workers have started successfully." in texts
