"""The real gcloud drives the service."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from launcher.emulator.runtime.events import StateEvent
from launcher.emulator.runtime.states import JobState
from tests.launcher.emulator.service.conftest import SPEC_PATH, Local

pytestmark = [
    pytest.mark.gcloud,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not on PATH"),
]

REGION = "--region=europe-west1"
GPU = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"


def gcloud(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["gcloud", "dataflow", *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_flag_that_reaches_the_request(local: Local, client_env: dict[str, str]) -> None:
    run = gcloud(
        client_env,
        *("flex-template", "run", "my-job", REGION, "--format=json"),
        f"--template-file-gcs-location={SPEC_PATH}",
        "--parameters=^~^input=gs://i/a,b~output=gs://o/o",
        f"--additional-experiments={GPU},another",
        "--additional-pipeline-options=number_of_worker_harness_threads=1",
        "--additional-user-labels=team=ml,cost=low",
        "--dataflow-kms-key=projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "--disable-public-ips",
        "--enable-streaming-engine",
        "--flexrs-goal=COST_OPTIMIZED",
        "--launcher-machine-type=e2-standard-2",
        "--max-workers=3",
        "--network=net",
        "--num-workers=2",
        "--service-account-email=worker@p.iam.gserviceaccount.com",
        "--staging-location=gs://templates/staging",
        "--subnetwork=regions/r/subnetworks/s",
        "--temp-location=gs://templates/temp",
        "--worker-machine-type=g2-standard-4",
        "--worker-zone=europe-west1-b",
    )
    assert run.returncode == 0, run.stderr
    (launch,) = local.runner.launched
    assert local.runner.launched_ids == [json.loads(run.stdout)["job"]["id"]]
    assert launch.parameters == {"input": "gs://i/a,b", "output": "gs://o/o"}
    assert launch.runtime_environment == {
        "additionalExperiments": [GPU, "another"],
        "additionalPipelineOptions": ["number_of_worker_harness_threads=1"],
        "additionalUserLabels": {"team": "ml", "cost": "low"},
        "enableStreamingEngine": True,
        "flexrsGoal": "FLEXRS_COST_OPTIMIZED",
        "ipConfiguration": "WORKER_IP_PRIVATE",
        "kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "launcherMachineType": "e2-standard-2",
        "machineType": "g2-standard-4",
        "maxWorkers": 3,
        "network": "net",
        "numWorkers": 2,
        "serviceAccountEmail": "worker@p.iam.gserviceaccount.com",
        "stagingLocation": "gs://templates/staging",
        "subnetwork": "regions/r/subnetworks/s",
        "tempLocation": "gs://templates/temp",
        "workerZone": "europe-west1-b",
    }


def test_listing_and_cancelling(local: Local, client_env: dict[str, str]) -> None:
    ended, active = local.launch_id("ended"), local.launch_id("active")
    local.record(ended, StateEvent(JobState("JOB_STATE_FAILED")))

    def listed(*flags: str) -> list[str]:
        found = gcloud(client_env, "jobs", "list", *flags, "--format=json")
        assert found.returncode == 0, found.stderr
        return [job["id"] for job in json.loads(found.stdout)]

    assert listed(REGION) == [active, ended]
    assert listed() == [active, ended]
    assert listed("--status=active") == [active]
    assert listed(REGION, "--status=terminated") == [ended]
    described = gcloud(client_env, "jobs", "describe", active, REGION, "--format=json")
    assert json.loads(described.stdout)["currentState"] == "JOB_STATE_QUEUED"

    for force in ([], ["--force"]):
        cancelled = gcloud(client_env, "jobs", "cancel", active, REGION, *force)
        assert f"Cancelled job [{active}]" in cancelled.stderr
    refused = gcloud(client_env, "jobs", "cancel", ended, REGION)
    assert "Job has terminated in state FAILED." in refused.stderr
    local.runner.may_cancel.set()
    local.methods.close()
    assert local.call("GET", f"jobs/{active}")["currentState"] == "JOB_STATE_CANCELLED"
    assert local.runner.cancelled == [active]


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
