from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from googleapiclient import discovery_cache

from launcher.emulator.runtime import launcher_process
from launcher.emulator.runtime.images import Image
from launcher.emulator.runtime.launcher_process import LaunchOrder, build_command, build_flags
from launcher.emulator.runtime.temp import temp_dir_of
from tests.emulator.runtime.conftest import Bench
from tests.emulator.runtime.test_processes import eventually, is_gone

ORDER = LaunchOrder(
    job_id="2026-01-02_03_04_05-1",
    job_name="predict",
    project_id="my-project",
    region="europe-west1",
    image="local/flexpack",
    parameters={"input": "gs://data/in,put", "output": "gs://data/output"},
    environment={},
    staging_location="gs://bucket/staging/",
    temp_location="gs://bucket/temp",
    launch_timeout_sec=60,
)
ACCELERATOR = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"


def test_the_flags_of_a_plain_launch() -> None:
    assert build_flags(ORDER) == [
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
    order = dataclasses.replace(ORDER, parameters={}, environment=environment)
    assert build_flags(order) == [
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
    order = dataclasses.replace(ORDER, environment=environment)
    assert build_flags(order) == build_flags(ORDER)


def test_a_template_cannot_redirect_its_own_launch() -> None:
    parameters = {"project": "other", "job_name": "other", "template_location": "gs://other/x"}
    order = dataclasses.replace(ORDER, parameters=parameters)
    assert set(build_flags(order)) < set(build_flags(ORDER))


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
    flags = build_flags(dataclasses.replace(ORDER, environment=environment))
    options = PipelineOptions(flags)
    assert options.view_as(DebugOptions).experiments == [ACCELERATOR, "a"]
    assert options.view_as(GoogleCloudOptions).labels == ['{"team": "ml"}']
    assert options.view_as(WorkerOptions).max_num_workers == 8
    assert options.view_as(WorkerOptions).use_public_ips is False


def test_every_field_of_the_official_environment_is_decided_on() -> None:
    document = Path(discovery_cache.__file__).parent / "documents" / "dataflow.v1b3.json"
    schema = json.loads(document.read_text())["schemas"]["FlexTemplateRuntimeEnvironment"]
    decided = {
        *launcher_process._VALUE_FLAGS,
        *launcher_process._ENUM_FLAGS,
        *launcher_process.NO_FLAG,
        "additionalExperiments",
        "additionalPipelineOptions",
        "additionalUserLabels",
        "enableStreamingEngine",
        "stagingLocation",
        "tempLocation",
    }
    assert decided == set(schema["properties"])


def test_the_variables_of_the_image_complete_the_command(tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    image = Image(
        Path("/env/bin/python"),
        tmp_path,
        {
            "FLEX_TEMPLATE_PYTHON_PY_FILE": "main.py",
            "FLEX_TEMPLATE_PYTHON_PY_OPTIONS": "-X dev",
            "FLEX_TEMPLATE_PYTHON_SETUP_FILE": "/template/setup.py",
            "FLEX_TEMPLATE_PYTHON_EXTRA_PACKAGES": "a.whl,b.whl",
        },
    )
    command = build_command(ORDER, image)
    assert command[:4] == ["/env/bin/python", "-X", "dev", "main.py"]
    extra = ["--extra_package=a.whl", "--extra_package=b.whl", "--setup_file=/template/setup.py"]
    assert set(command[4:]) == {*build_flags(ORDER), *extra}
    assert command[4:] == sorted(command[4:])


FAILED = "Error occurred in the launcher container: "


@pytest.mark.parametrize(
    ("entry_file", "service_text", "program_text", "remedy"),
    [
        (
            "raises.py",
            f"{FAILED}Template launch failed. See console logs.",
            "RuntimeError: the entry file says no",
            "The entry file failed with exit status 1",
        ),
        (
            "strict.py",
            f"{FAILED}Template launch failed. See console logs.",
            "error: unrecognized arguments: --",
            "call parser.parse_known_args()",
        ),
        (
            "asks_for_metrics.py",
            f"{FAILED}Template launch failed. See console logs.",
            "ValueError: Can not query metrics. Job id is unknown.",
            "must not ask for metrics",
        ),
        (
            "stages_nothing.py",
            "Failed to read the job file : gs://staging/here/template_launches/",
            "all done",
            "must not set runner, project, job_name, region or template_location itself",
        ),
        (
            "missing.py",
            "missing.py does not exist",
            "",
            "FLEX_TEMPLATE_PYTHON_PY_FILE of the image test/missing.py is 'missing.py'",
        ),
        (
            "without-entry-file",
            f"{FAILED}could not determine py file from env",
            "",
            "Set FLEX_TEMPLATE_PYTHON_PY_FILE in the image test/without-entry-file",
        ),
    ],
)
def test_a_failed_launch_says_why_and_what_to_change(
    bench: Bench, entry_file: str, service_text: str, program_text: str, remedy: str
) -> None:
    job_id = f"fails-{entry_file}"
    journal = bench.run(entry_file, job_id, environment={})
    assert journal.states == ["JOB_STATE_FAILED"]
    errors = [text for importance, text in journal.messages if importance == "JOB_MESSAGE_ERROR"]
    assert remedy in errors[-1]
    assert service_text in errors[-2]
    assert program_text in errors[0]
    assert len(errors) == (3 if program_text else 2)
    assert program_text in bench.console_logs(job_id)
    folder = f"here/template_launches/{job_id}"
    result = json.loads(bench.store.read("staging", f"{folder}/operation_result"))
    assert result["done"] is True


def test_the_console_is_in_the_messages_and_in_console_logs(bench: Bench) -> None:
    journal = bench.run("raises.py", "console", environment={})
    assert ("JOB_MESSAGE_DETAILED", "about to fail") in journal.messages
    lines = bench.console_logs("console").splitlines()
    assert lines[0] == "about to fail"
    assert lines[-2:] == [
        "python failed with exit status 1",
        "Error: Template launch failed: exit status 1",
    ]


def test_an_unknown_image_is_not_pulled(bench: Bench) -> None:
    journal = bench.run("raises.py", "unknown", image="eu.gcr.io/p/unknown:1")
    assert journal.states == ["JOB_STATE_FAILED"]
    errors = journal.texts("JOB_MESSAGE_ERROR")
    assert "Unable to pull container image due to error: eu.gcr.io/p/unknown:1" in errors
    assert '["eu.gcr.io/p/unknown:1"]' in errors


def test_a_staging_bucket_that_is_not_there(bench: Bench) -> None:
    journal = bench.run("raises.py", "no-bucket", staging_location="gs://nowhere/x", environment={})
    assert journal.states == ["JOB_STATE_FAILED"]
    errors = journal.texts("JOB_MESSAGE_ERROR")
    assert "Failed to read the result file : gs://nowhere/x/template_launches/no-bucket" in errors
    assert "gcloud storage buckets create gs://nowhere" in errors


def test_the_deadline_stops_the_launcher(bench: Bench) -> None:
    journal = bench.run("slow.py", "late", launch_timeout_sec=2.0, environment={})
    assert journal.states == ["JOB_STATE_FAILED"]
    errors = journal.texts("JOB_MESSAGE_ERROR")
    path = "gs://staging/here/template_launches/late/operation_result"
    assert f"Timeout in polling result file: {path}.\n" in errors
    assert "Image URL: test/slow.py\n" in errors
    assert "The launcher had 2 s" in errors
    assert '{"ft_launch_timeout_secs": "600"}' in errors
    pid = int(bench.console_logs("late").split()[-1])
    assert eventually(lambda: is_gone(pid))


def test_a_launch_does_not_wait_for_a_daemon_that_holds_its_output(bench: Bench) -> None:
    try:
        journal = bench.run("leaves_a_daemon.py", "daemon", environment={})
        assert journal.states == ["JOB_STATE_FAILED"]
        assert "must not set runner, project" in journal.texts("JOB_MESSAGE_ERROR")
    finally:
        os.kill(int(bench.console_logs("daemon").split()[-1]), signal.SIGKILL)


def test_cancelling_the_launcher_leaves_no_process(bench: Bench) -> None:
    bench.runtime.launch(bench.order("slow.py", "cancelled"))
    journal = bench.journals.wait_for("cancelled", lambda journal: "process" in journal.texts())
    pid = int(journal.texts().split()[-1])
    bench.runtime.cancel("cancelled")
    assert eventually(lambda: is_gone(pid))
    assert journal.states == []
    assert f"process {pid}" in bench.console_logs("cancelled")


def test_a_job_leaves_nothing_in_the_temporary_folder(bench: Bench) -> None:
    bench.runtime.launch(bench.order("leaves_files.py", "leaves-files", environment={}))
    journal = bench.journals.wait_for("leaves-files", lambda journal: "folder" in journal.texts())
    left = Path(journal.texts().split()[-1])
    assert left.parent == temp_dir_of("leaves-files")
    assert left.exists()
    bench.runtime.cancel("leaves-files")
    assert not left.parent.exists()


def test_the_interpreter_of_the_image_runs_the_entry_file(tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    image = Image(Path(sys.executable), tmp_path, {"FLEX_TEMPLATE_PYTHON_PY_FILE": "main.py"})
    assert build_command(ORDER, image)[:2] == [sys.executable, "main.py"]
