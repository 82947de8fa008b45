"""The batch template from weights to predictions, launched in every way."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time

import pytest

from tests.support import PROJECT_ROOT, run

_DEADLINE_SEC = 90


@pytest.fixture(scope="module")
def spec(lake, emulator_env):
    path = f"{lake.root}/templates/batch.json"
    run("flexpack", "build", path, "--image", "local/flexpack", env=emulator_env)
    return path


def test_flexpack_run(lake, emulator_env, spec, staged_images, staged_weights, check_predictions):
    done = run(
        *("flexpack", "run", "by-command", "--template-file-gcs-location", spec, "--wait"),
        *("--staging-location", f"{lake.root}/staging"),
        *("--parameters", f"input={staged_images}"),
        *("--parameters", f"model_path={staged_weights}"),
        *("--parameters", f"output={lake.root}/by-command/rows"),
        env=emulator_env,
    )

    assert "JOB_STATE_DONE" in done.stdout
    assert "1,000 rows read, 1,000 predictions, 0 dead letters" in done.stdout
    check_predictions("by-command/")


_SCRIPT = """
import sys
from launcher import *
from template.parameters import BATCH

spec_path, images, weights, output, staging = sys.argv[1:]
spec = build_container_spec(
    image="local/flexpack",
    metadata=build_template_metadata(BATCH),
    default_environment=build_environment(EnvironmentOptions(staging_location=staging)),
)
upload_spec(spec, spec_path)
dataflow = Dataflow(project="flexpack-tests", region="europe-west1")
request = build_launch_request(
    LaunchConfig(
        job_name="by-api",
        template_file_gcs_location=spec_path,
        project=dataflow.project,
        region=dataflow.region,
        parameters={"input": images, "model_path": weights, "output": output},
    )
)
job = dataflow.launch(request)
again = dataflow.launch(request)
assert again.id == job.id, "the same launch id is the same job"
job = wait_for_job(dataflow, job.id, timeout_sec=90)
print(job.current_state, RowCounts.from_metrics(dataflow.metrics(job.id)))
"""


def test_python_api(lake, emulator_env, staged_images, staged_weights, check_predictions):
    done = run(
        *(sys.executable, "-c", _SCRIPT, f"{lake.root}/templates/api.json"),
        *(staged_images, staged_weights, f"{lake.root}/by-api/rows", f"{lake.root}/staging"),
        env=emulator_env,
    )

    assert done.stdout.strip() == (
        "JOB_STATE_DONE RowCounts(rows_read=1000, predictions=1000, dead_letters=0)"
    )
    check_predictions("by-api/")


@pytest.mark.gcloud
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud(lake, emulator_env, image_set, check_predictions, tmp_path):
    """The real gcloud, unchanged, packages, launches, follows and reads."""

    def gcloud(*arguments):
        return run("gcloud", *arguments, env=emulator_env).stdout

    data = f"{lake.root}/by-gcloud/data"
    gcloud("storage", "cp", str(image_set.images), str(image_set.weights), f"{data}/")
    listed = gcloud("storage", "ls", f"{data}/").split()
    assert listed == sorted(f"{data}/{path.name}" for path in (image_set.images, image_set.weights))
    spec = f"{lake.root}/templates/gcloud.json"
    gcloud(
        *("dataflow", "flex-template", "build", spec, "--image=local/flexpack"),
        *("--sdk-language=PYTHON", f"--metadata-file={PROJECT_ROOT / 'metadata/batch.json'}"),
    )
    launched = json.loads(
        gcloud(
            *("dataflow", "flex-template", "run", "by-gcloud", "--region=us-central1"),
            *(f"--template-file-gcs-location={spec}", f"--staging-location={lake.root}/staging"),
            f"--parameters=input={data}/{image_set.images.name}",
            f"--parameters=model_path={data}/{image_set.weights.name}",
            f"--parameters=output={lake.root}/by-gcloud/out/rows",
            "--parameters=sdk_container_image=local/flexpack",
            "--format=json",
        )
    )
    job_id = launched["job"]["id"]
    deadline = time.monotonic() + _DEADLINE_SEC
    described: dict = {}
    while described.get("currentState") not in ("JOB_STATE_DONE", "JOB_STATE_FAILED"):
        assert time.monotonic() < deadline, described
        described = json.loads(
            gcloud("dataflow", "jobs", "describe", job_id, "--region=us-central1", "--format=json")
        )
    assert described["currentState"] == "JOB_STATE_DONE"
    assert re.search(
        rf"{job_id} +by-gcloud +Batch .*Done",
        gcloud("dataflow", "jobs", "list", "--region=us-central1"),
    )
    shown = gcloud("dataflow", "jobs", "show", job_id, "--region=us-central1")
    assert "state: Done" in shown
    check_predictions("by-gcloud/out/")
    first = lake.list_names("by-gcloud/out/")[0]
    text = gcloud("storage", "cat", f"{lake.root}/{first}")
    assert json.loads(text.splitlines()[0])["key"].startswith(image_set.images.name)


def test_local_pipeline_is_the_same(image_set, expected, tmp_path):
    """The entry file runs without any Dataflow, as a developer would try it."""
    run(
        *(sys.executable, "-m", "template.main", "--runner=FnApiRunner"),
        *(f"--input={image_set.images}", f"--model_path={image_set.weights}"),
        f"--output={tmp_path}/rows",
        env=os.environ,
    )

    rows = [
        json.loads(line)
        for path in tmp_path.glob("rows-*.jsonl")
        for line in path.read_text().splitlines()
    ]
    found = {int(row["key"].rpartition("#")[2]): row["class_index"] for row in rows}
    assert found == {row: class_index for row, (class_index, _) in enumerate(expected)}
