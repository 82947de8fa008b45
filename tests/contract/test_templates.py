"""Flex Templates on real Beam: a job's record afterwards, and launches that fail."""

from __future__ import annotations

import json

import pytest

from tests.contract.conftest import GPU, Launched


def test_the_record_of_a_job_holds_what_it_was_given(launched: Launched) -> None:
    job = launched.end("count.py")
    assert job["currentState"] == "JOB_STATE_DONE"
    assert job["type"] == "JOB_TYPE_BATCH"
    assert job["labels"] == {"team": "ml"}
    assert job["createTime"] == job["startTime"] < job["currentStateTime"]
    assert job["jobMetadata"]["sdkVersion"]["versionDisplayName"].startswith("Apache Beam Python")
    environment = job["environment"]
    assert GPU in environment["experiments"]
    assert environment["serviceOptions"] == ["enable_prime"]
    assert environment["workerRegion"] == "europe-west4"
    options = environment["sdkPipelineOptions"]["options"]
    assert options["output"] == f"{launched.local_dataflow.root}/count/rows"
    assert options["machine_type"] == "g2-standard-4"
    (pool,) = environment["workerPools"]
    expected = {
        "machineType": "g2-standard-4",
        "diskSizeGb": 123,
        "numWorkers": 2,
        "autoscalingSettings": {"maxNumWorkers": 3},
        "workerHarnessContainerImage": "contract/count.py",
    }
    assert expected.items() <= pool.items()
    (image,) = pool["sdkHarnessContainerImages"]
    assert image["containerImage"] == "contract/count.py"


def test_the_launch_leaves_its_objects(launched: Launched) -> None:
    job = launched.end("count.py")
    staged = json.loads(launched.object("count.py", "job_object"))
    environment = job["environment"]  # with what the service adds
    agent = environment["userAgent"]
    assert staged["environment"]["userAgent"].items() <= agent.items()
    assert (staged["environment"] | {"userAgent": agent}).items() <= environment.items()
    assert json.loads(launched.object("count.py", "operation_result")) == {"done": True}
    launched.object("count.py", "console_logs")
    result = json.loads(launched.object("asks_for_metrics.py", "operation_result"))
    assert result["error"]["message"].endswith("Template launch failed. See console logs.")


def test_metrics_come_committed_and_tentative(launched: Launched) -> None:
    launched.end("count.py")
    updates = launched.local_dataflow.metrics(launched.jobs["count.py"])
    rows = [update for update in updates if update["name"]["name"] == "rows"]
    assert [update["scalar"] for update in rows] == [3, 3]
    assert [update["name"]["context"].get("tentative") for update in rows] == [None, "true"]
    (sizes, _) = [update for update in updates if update["name"]["name"] == "sizes"]
    assert sizes["distribution"] == {"count": 3, "sum": 3, "min": 0, "max": 2, "mean": 1}


def test_much_of_beam_runs_on_two_workers(launched: Launched) -> None:
    assert launched.end("wide.py")["currentState"] == "JOB_STATE_DONE"
    reported = launched.local_dataflow.texts(launched.jobs["wide.py"])
    assert "Starting 2 workers in europe-west1..." in reported
    bucket = launched.local_dataflow.bucket
    lines = [
        line
        for blob in bucket.list_blobs(prefix="wide/out")
        for line in blob.download_as_text().splitlines()
    ]
    total, even, odd = sum(range(400)), sum(range(0, 400, 2)), sum(range(1, 400, 2))
    assert sorted(lines) == [
        *("batch 0 150", "batch 0 50", "batch 1 150", "batch 1 50"),
        *("joined 0 [200] 200", "joined 1 [200] 200"),
        *("large 0 10000000", "large 1 10000000"),
        f"sides {total} 200 200 200",
        *(f"state 200 {even}", f"state 200 {odd}"),
        *(f"window 0 {sum(range(200, 400, 2))}", f"window 0 {sum(range(0, 200, 2))}"),
        *(f"window 1 {sum(range(1, 200, 2))}", f"window 1 {sum(range(201, 400, 2))}"),
    ]


@pytest.mark.parametrize(
    ("entry_file", "error", "remedy"),
    [
        (
            "asks_for_metrics.py",
            "Error occurred in the launcher container: Template launch failed. See console logs.",
            "the entry file must not ask for metrics",
        ),
        (
            "overwrites_runner.py",
            "Failed to read the job file : ",
            "must not set runner, project, job_name, region or template_location itself",
        ),
        (
            "overwrites_job_name.py",
            "Failed to read the job file : ",
            "overwrites options of the launcher: job_name is 'mine', not 'renames'",
        ),
    ],
)
def test_launches_that_fail_say_what_to_change(
    launched: Launched, entry_file: str, error: str, remedy: str
) -> None:
    job = launched.end(entry_file)
    assert job["currentState"] == "JOB_STATE_FAILED"
    errors = launched.local_dataflow.texts(launched.jobs[entry_file], "JOB_MESSAGE_ERROR")
    assert errors[-2].startswith(error)
    assert remedy in errors[-1]
    if entry_file == "asks_for_metrics.py":
        assert "ValueError: Can not query metrics. Job id is unknown." in errors[0]
