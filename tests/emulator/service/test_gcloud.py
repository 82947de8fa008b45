"""The real gcloud drives the service."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.emulator.service.conftest import SPEC_PATH, Local

pytestmark = [
    pytest.mark.gcloud,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not on PATH"),
]

REGION = "--region=europe-west1"


def gcloud(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["gcloud", "dataflow", *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_job_from_launch_to_cancellation(local: Local, client_env: dict[str, str]) -> None:
    run = gcloud(
        client_env,
        *("flex-template", "run", "my-job", REGION, "--format=json"),
        f"--template-file-gcs-location={SPEC_PATH}",
        "--parameters=input=gs://i/i,output=gs://o/o",
        "--max-workers=3",
        "--additional-experiments=worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver",
    )
    assert run.returncode == 0, run.stderr
    job_id = json.loads(run.stdout)["job"]["id"]
    (order,) = local.runtime.launched
    assert order.environment["maxWorkers"] == 3
    assert order.environment["additionalExperiments"] == [
        "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    ]
    local.events.state(job_id, "JOB_STATE_PENDING")
    local.events.state(job_id, "JOB_STATE_RUNNING")

    for region in ([REGION], []):
        listed = gcloud(client_env, "jobs", "list", *region, "--status=active", "--format=json")
        assert [job["id"] for job in json.loads(listed.stdout)] == [job_id], listed.stderr
    described = gcloud(client_env, "jobs", "describe", job_id, REGION, "--format=json")
    assert json.loads(described.stdout)["currentState"] == "JOB_STATE_RUNNING"
    shown = gcloud(client_env, "jobs", "show", job_id, REGION, "--format=json")
    assert json.loads(shown.stdout)["state"] == "Running", shown.stderr

    local.runtime.may_cancel.set()
    cancelled = gcloud(client_env, "jobs", "cancel", job_id, REGION)
    assert f"Cancelled job [{job_id}]" in cancelled.stderr
    local.service.close()
    assert local.call("GET", f"jobs/{job_id}")["currentState"] == "JOB_STATE_CANCELLED"


def test_refusals_reach_the_user(client_env: dict[str, str]) -> None:
    run = gcloud(
        client_env,
        *("flex-template", "run", "my-job", REGION),
        f"--template-file-gcs-location={SPEC_PATH}",
        "--parameters=inptu=gs://i/i",
    )
    assert run.returncode == 1
    assert "INVALID_ARGUMENT: The template parameters are invalid. Details:" in run.stderr
    assert "input: Missing required parameter" in run.stderr
    assert "inptu: Unrecognized parameter" in run.stderr
