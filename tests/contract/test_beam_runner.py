"""Beam's own DataflowRunner submits jobs, waits, queries metrics and cancels."""

from __future__ import annotations

import json
import subprocess

from tests.contract.conftest import Launched, LocalDataflow


def test_dataflow_runner(
    local_dataflow: LocalDataflow,
    direct_submission: subprocess.Popen[str],
    launched: Launched,  # Requested only so that these jobs run meanwhile.
) -> None:
    printed, errors = direct_submission.communicate(timeout=120)
    assert direct_submission.returncode == 0, errors
    report = json.loads(printed.splitlines()[-1])
    assert report["states"][:2] == ["DONE", "DONE"]
    assert report["states"][2] in ("CANCELLING", "CANCELLED")
    assert "There is already active job named direct-sleeping" in report["refusal"]
    assert report["rows"] == ["Work", 4, 4]
    assert report["sizes"] == [4, 6, 3]
    counting, sleeping = (local_dataflow.wait(job_id) for job_id in report["ids"])
    assert counting["currentState"] == "JOB_STATE_DONE"
    assert sleeping["currentState"] == "JOB_STATE_CANCELLED"
    (pool,) = counting["environment"]["workerPools"]
    assert pool["workerHarnessContainerImage"] == "contract/count.py"
