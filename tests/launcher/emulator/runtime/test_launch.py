"""The flags into which a launch is converted."""

from __future__ import annotations

import dataclasses
from typing import Any

from launcher.emulator.runtime import launch
from launcher.emulator.runtime.launch import Launch, build_flags
from tests.schemas import Schemas

LAUNCH = Launch(
    job_name="predict",
    project_id="my-project",
    region="europe-west1",
    image="local/flexpack",
    parameters={"input": "gs://data/in,put", "output": "gs://data/output"},
    runtime_environment={},
    staging_location="gs://bucket/staging/",
    temp_location="gs://bucket/temp",
    launch_timeout_sec=60,
)
JOB_ID = "2026-01-02_03_04_05-1"
TEMPLATE = f"{LAUNCH.folder(JOB_ID)}/job_object"
ACCELERATOR = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"


def test_the_flags_of_a_plain_launch() -> None:
    assert build_flags(LAUNCH, TEMPLATE) == [
        "--input=gs://data/in,put",
        "--job_name=predict",
        "--output=gs://data/output",
        "--project=my-project",
        "--region=europe-west1",
        "--runner=DataflowRunner",
        "--staging_location=gs://bucket/staging/",
        "--temp_location=gs://bucket/temp",
        "--template_location=gs://bucket/staging/template_launches/2026-01-02_03_04_05-1/job_object",
    ]


def test_the_whole_environment_becomes_flags() -> None:
    environment: dict[str, Any] = {
        "additionalExperiments": [ACCELERATOR, "use_runner_v2"],
        "additionalPipelineOptions": ["number_of_worker_harness_threads=1", "--save_main_session"],
        "additionalUserLabels": {"team": "ml", "cost": "low"},
        "autoscalingAlgorithm": "AUTOSCALING_ALGORITHM_BASIC",
        "diskSizeGb": 100,
        "enableStreamingEngine": True,
        "flexrsGoal": "FLEXRS_COST_OPTIMIZED",
        "ipConfiguration": "WORKER_IP_PRIVATE",
        "kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "launcherMachineType": "n1-standard-4",
        "machineType": "g2-standard-4",
        "maxWorkers": 8,
        "network": "net",
        "numWorkers": 2,
        "sdkContainerImage": "local/flexpack",
        "serviceAccountEmail": "worker@my-project.iam.gserviceaccount.com",
        "stagingLocation": "gs://bucket/staging/",
        "subnetwork": "regions/europe-west1/subnetworks/s",
        "tempLocation": "gs://bucket/temp",
        "workerRegion": "europe-west1",
        "workerZone": "europe-west1-b",
        "zone": "europe-west1-c",
    }
    other = dataclasses.replace(LAUNCH, parameters={}, runtime_environment=environment)
    assert build_flags(other, TEMPLATE) == [
        "--autoscaling_algorithm=THROUGHPUT_BASED",
        "--dataflow_kms_key=projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "--disk_size_gb=100",
        "--enable_streaming_engine",
        f"--experiments={ACCELERATOR}",
        "--experiments=use_runner_v2",
        "--flexrs_goal=COST_OPTIMIZED",
        "--job_name=predict",
        '--labels={"cost": "low", "team": "ml"}',
        "--machine_type=g2-standard-4",
        "--max_num_workers=8",
        "--network=net",
        "--no_use_public_ips",
        "--num_workers=2",
        "--number_of_worker_harness_threads=1",
        "--project=my-project",
        "--region=europe-west1",
        "--runner=DataflowRunner",
        "--save_main_session",
        "--sdk_container_image=local/flexpack",
        "--service_account_email=worker@my-project.iam.gserviceaccount.com",
        "--staging_location=gs://bucket/staging/",
        "--subnetwork=regions/europe-west1/subnetworks/s",
        "--temp_location=gs://bucket/temp",
        "--template_location=gs://bucket/staging/template_launches/2026-01-02_03_04_05-1/job_object",
        "--worker_region=europe-west1",
        "--worker_zone=europe-west1-b",
        "--zone=europe-west1-c",
    ]


def test_false_and_unspecified_are_no_flags() -> None:
    environment = {
        "enableStreamingEngine": False,
        "ipConfiguration": "WORKER_IP_UNSPECIFIED",
        "autoscalingAlgorithm": "AUTOSCALING_ALGORITHM_UNKNOWN",
        "flexrsGoal": "FLEXRS_UNSPECIFIED",
    }
    other = dataclasses.replace(LAUNCH, runtime_environment=environment)
    assert build_flags(other, TEMPLATE) == build_flags(LAUNCH, TEMPLATE)


def test_a_template_cannot_redirect_its_own_launch() -> None:
    parameters = {"project": "other", "job_name": "other", "template_location": "gs://other/x"}
    other = dataclasses.replace(LAUNCH, parameters=parameters)
    assert set(build_flags(other, TEMPLATE)) < set(build_flags(LAUNCH, TEMPLATE))


def test_beam_reads_the_flags_as_they_are_meant() -> None:
    from apache_beam.options.pipeline_options import (
        DebugOptions,
        GoogleCloudOptions,
        PipelineOptions,
        WorkerOptions,
    )

    environment = {
        "additionalExperiments": [ACCELERATOR, "a"],
        "additionalUserLabels": {"team": "ml"},
        "maxWorkers": 8,
        "ipConfiguration": "WORKER_IP_PRIVATE",
    }
    flags = build_flags(dataclasses.replace(LAUNCH, runtime_environment=environment), TEMPLATE)
    options = PipelineOptions(flags)
    assert options.view_as(DebugOptions).experiments == [ACCELERATOR, "a"]
    assert options.view_as(GoogleCloudOptions).labels == ['{"team": "ml"}']
    assert options.view_as(WorkerOptions).max_num_workers == 8
    assert options.view_as(WorkerOptions).use_public_ips is False


def test_every_field_of_the_official_environment_is_decided_on() -> None:
    decided = {
        *launch._VALUE_FLAGS,
        *launch._ENUM_FLAGS,
        *launch.NO_FLAG,
        "additionalExperiments",
        "additionalPipelineOptions",
        "additionalUserLabels",
        "enableStreamingEngine",
        "stagingLocation",
        "tempLocation",
    }
    assert decided == set(Schemas().properties("FlexTemplateRuntimeEnvironment"))
