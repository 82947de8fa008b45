"""The real gcloud, unchanged, with a job that really runs: from the spec to its metrics."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.conftest import GPU, REGION, LocalDataflow
from tests.support import run

pytestmark = [
    pytest.mark.gcloud,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not on PATH"),
]

_METADATA = {
    "name": "Count",
    "description": "Counts.",
    "parameters": [
        {"name": "output", "label": "Output", "helpText": "Prefix.", "regexes": ["^gs://.+$"]}
    ],
}


@pytest.fixture
def gcloud(local_dataflow: LocalDataflow) -> Callable[..., str]:
    def call(*words: str) -> str:
        return run("gcloud", *words, env=local_dataflow.env).stdout

    return call


def test_a_template_from_its_spec_to_its_metrics(
    local_dataflow: LocalDataflow, gcloud: Callable[..., str], tmp_path: Path
) -> None:
    root = local_dataflow.root
    region = f"--region={REGION}"
    metadata = tmp_path / "metadata.json"
    metadata.write_text(json.dumps(_METADATA))
    gcloud(
        *("dataflow", "flex-template", "build", f"{root}/by-gcloud.json"),
        *("--image=contract/count.py", "--sdk-language=PYTHON", f"--metadata-file={metadata}"),
        *("--num-workers=1", "--max-workers=2", "--worker-machine-type=n1-standard-2"),
        *(f"--additional-experiments={GPU}", "--additional-user-labels=team=ml,cost=low"),
        *(f"--staging-location={root}/staging", f"--temp-location={root}/temp"),
    )
    reported = gcloud(
        *("dataflow", "flex-template", "run", "by-gcloud", region, "--format=json"),
        *(f"--template-file-gcs-location={root}/by-gcloud.json", "--max-workers=5"),
        f"--parameters=output={root}/by-gcloud/rows,sdk_container_image=contract/count.py",
    )
    job_id = json.loads(reported)["job"]["id"]
    job = local_dataflow.wait(job_id)
    assert job["currentState"] == "JOB_STATE_DONE", local_dataflow.texts(job_id)

    # The spec's defaults, overridden by what the launch requested.
    described = json.loads(
        gcloud("dataflow", "jobs", "describe", job_id, region, "--full", "--format=json")
    )
    assert described["labels"] == {"team": "ml", "cost": "low"}
    assert GPU in described["environment"]["experiments"]
    (pool,) = described["environment"]["workerPools"]
    assert pool["machineType"] == "n1-standard-2"
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 5

    counts = []
    for importance in ("debug", "detailed", "warning", "error"):
        logs = gcloud(
            *("beta", "dataflow", "logs", "list", job_id, region),
            *(f"--importance={importance}", "--format=json"),
        )
        counts.append([entry["messageText"] for entry in json.loads(logs)])
    debug, detailed, warning, error = counts
    assert "Python sdk harness starting." in debug
    assert "Python sdk harness starting." not in detailed
    assert set(detailed) > set(warning)
    assert (warning, error) == (["two is here [Count]"], [])

    metrics = json.loads(
        gcloud(
            *("beta", "dataflow", "metrics", "list", job_id, region),
            *("--source=user", "--format=json"),
        )
    )
    values = {
        (metric["name"]["name"], "tentative" in metric["name"]["context"]): metric.get("scalar")
        for metric in metrics
    }
    assert values["rows", False] == 3
    shown = gcloud("dataflow", "jobs", "show", job_id, region, "--environment", "--steps")
    assert "state: Done" in shown
