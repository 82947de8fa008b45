"""The launch request, compared as a whole and checked against the official schema."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launcher import Accelerator, InputError, LaunchConfig, build_launch_request
from launcher.google.rest import to_rest
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.launch.environment import build_environment


def test_the_smallest_request(config):
    assert to_rest(build_launch_request(config)) == {
        "launchParameter": {
            "jobName": "fashion",
            "containerSpecGcsPath": "gs://my-bucket/templates/batch.json",
            "parameters": {"input": "gs://my-bucket/a,b=c.csv"},
            "environment": {"additionalUserLabels": {"flexpack-launch-id": "launch-1"}},
        }
    }


def test_the_largest_request(schemas):
    request = to_rest(
        build_launch_request(
            LaunchConfig(
                job_name="fashion",
                template_file_gcs_location="gs://my-bucket/templates/batch.json",
                project="my-project",
                region="us-central1",
                parameters={"input": "gs://my-bucket/a.csv"},
                launch_id="launch-1",
                launch_timeout_sec=1800,
                accelerator=Accelerator("nvidia-l4", 1, "latest"),
                additional_experiments=("use_runner_v2",),
                additional_pipeline_options=("a=b,c",),
                additional_user_labels={"team": "ml"},
                dataflow_kms_key="projects/p/locations/l/keyRings/r/cryptoKeys/k",
                disable_public_ips=True,
                disk_size_gb=100,
                enable_streaming_engine=True,
                launcher_machine_type="n1-standard-4",
                max_workers=8,
                network="net",
                num_workers=2,
                sdk_container_image="image:1",
                service_account_email="me@p.iam.gserviceaccount.com",
                staging_location="gs://my-bucket/staging",
                subnetwork="regions/us-central1/subnetworks/s",
                temp_location="gs://my-bucket/temp",
                worker_machine_type="g2-standard-4",
                worker_region="us-east1",
            )
        )
    )
    assert request == {
        "launchParameter": {
            "jobName": "fashion",
            "containerSpecGcsPath": "gs://my-bucket/templates/batch.json",
            "parameters": {"input": "gs://my-bucket/a.csv"},
            "launchOptions": {"ft_launch_timeout_secs": "1800"},
            "environment": {
                "additionalExperiments": [
                    "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:latest",
                    *("use_runner_v2", "no_use_multiple_sdk_containers"),
                ],
                "additionalPipelineOptions": ["a=b,c", "number_of_worker_harness_threads=4"],
                "additionalUserLabels": {"team": "ml", "flexpack-launch-id": "launch-1"},
                "diskSizeGb": 100,
                "enableStreamingEngine": True,
                "ipConfiguration": "WORKER_IP_PRIVATE",
                "kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
                "launcherMachineType": "n1-standard-4",
                "machineType": "g2-standard-4",
                "maxWorkers": 8,
                "network": "net",
                "numWorkers": 2,
                "sdkContainerImage": "image:1",
                "serviceAccountEmail": "me@p.iam.gserviceaccount.com",
                "stagingLocation": "gs://my-bucket/staging",
                "subnetwork": "regions/us-central1/subnetworks/s",
                "tempLocation": "gs://my-bucket/temp",
                "workerRegion": "us-east1",
            },
        }
    }
    assert schemas.find_problems("LaunchFlexTemplateRequest", request) == []


def test_the_judge_of_these_tests_sees_what_is_wrong(schemas):
    request = {"launchParameter": {"jobName": 1, "environment": {"diskSizeGB": 1}}}
    assert schemas.find_problems("LaunchFlexTemplateRequest", request) == [
        ".launchParameter.jobName: 1 is not string",
        ".launchParameter.environment.diskSizeGB: unknown",
    ]


def test_every_launch_has_an_id_of_its_own(config):
    options = {
        "job_name": "a",
        "template_file_gcs_location": "gs://bb/c",
        "project": "p",
        "region": "r",
    }
    assert LaunchConfig(**options).launch_id != LaunchConfig(**options).launch_id


def test_a_staging_location_alone_serves_temporary_files_too(config):
    request = build_launch_request(replace(config, staging_location="gs://my-bucket/staging"))
    assert request.launch_parameter.environment.temp_location == "gs://my-bucket/staging"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"job_name": "My_Job"}, "JOB_NAME 'My_Job': lower-case .*; for example 'my-job'"),
        ({"job_name": "1-job-"}, "JOB_NAME '1-job-': .*; for example 'job'"),
        ({"job_name": ""}, "JOB_NAME '': .*letter or digit$"),
        ({"job_name": "a" * 1025}, "at most 1024"),
        ({"template_file_gcs_location": "batch.json"}, "--template-file-gcs-location 'batch.json'"),
        ({"template_file_gcs_location": "gs://b-1/"}, "--template-file-gcs-location 'gs://b-1/'"),
        ({"project": ""}, "--project '': empty"),
        ({"region": ""}, "--region '': empty"),
        ({"launch_timeout_sec": 0}, "--launch-timeout-sec 0"),
        ({"launch_id": "A B"}, "launch_id 'A B'"),
        ({"staging_location": "/tmp"}, "--staging-location '/tmp': expected a Cloud Storage"),
        ({"temp_location": "s3://b/x"}, "--temp-location 's3://b/x'"),
        ({"max_workers": 0}, "--max-workers 0: expected a number of at least 1"),
        ({"num_workers": 3, "max_workers": 2}, "--num-workers 3: more than --max-workers 2"),
        ({"disk_size_gb": -1}, "--disk-size-gb -1"),
        ({"worker_zone": "us-east1"}, "--worker-zone 'us-east1': a region; give .* us-east1-a"),
        ({"worker_region": "a", "worker_zone": "b"}, "--worker-region and --worker-zone"),
        ({"parameters": {"batch_size": 64}}, r"parameters\['batch_size'\] 64: .* example '64'"),
        (
            {"accelerator": "nvidia-l4:1"},
            r"accelerator 'nvidia-l4:1': give Accelerator\.parse\('nvidia-l4:1'\)",
        ),
        ({"additional_user_labels": {"Team": "x"}}, "--additional-user-labels Team=x"),
        ({"additional_user_labels": {"1team": "x"}}, "--additional-user-labels 1team=x"),
        ({"additional_user_labels": {"team": "\u00e4" * 64}}, "--additional-user-labels team="),
        (
            {"additional_experiments": ("use_runner_v2", "disable_runner_v2")},
            "--additional-experiments use_runner_v2 and disable_runner_v2: they contradict",
        ),
        (
            {"additional_experiments": ("sdk_worker_parallelism=1", "sdk_worker_parallelism=2")},
            "--additional-experiments sdk_worker_parallelism=1 and sdk_worker_parallelism=2",
        ),
        (
            {
                "accelerator": Accelerator("nvidia-l4"),
                "additional_experiments": ("worker_accelerator=type:nvidia-l4;count:1",),
            },
            "--accelerator and --additional-experiments worker_accelerator=",
        ),
    ],
)
def test_each_mistake_is_named(config, changes, message):
    with pytest.raises(InputError, match=message):
        build_launch_request(replace(config, **changes))


def test_letters_of_any_script_and_long_names_are_legal_as_in_the_api(config):
    labels = {"\u00e9quipe": "\u6570\u636e-1"}
    build_launch_request(replace(config, job_name="a" * 1024, additional_user_labels=labels))


def test_a_launchs_experiments_override_the_templates_by_name(config):
    base = FlexTemplateRuntimeEnvironment(
        additional_experiments=("sdk_worker_parallelism=1", "use_runner_v2", "upload_graph")
    )
    environment = build_environment(
        replace(config, additional_experiments=("sdk_worker_parallelism=4", "disable_runner_v2")),
        base=base,
    )
    assert environment.additional_experiments == (
        "sdk_worker_parallelism=4",
        "disable_runner_v2",
        "upload_graph",
    )


def test_all_mistakes_are_named_at_once(config):
    with pytest.raises(InputError) as caught:
        build_launch_request(replace(config, job_name="A", max_workers=0, temp_location="x"))
    assert len(str(caught.value).splitlines()) == 3
