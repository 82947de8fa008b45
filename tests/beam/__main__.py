"""Run Beam's own runner tests on a local Dataflow: ``make test-beam``.

These are its validates-runner tests, on Beam's TestDataflowRunner, and FnApiRunnerTest, whose
pipelines DataflowRunner submits. ``results.json`` records which tests passed and why the others did
not. A test that passed must pass again; ``--write`` adds to the file.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import apache_beam

from launcher.emulator import daemon
from tests.support import PROJECT, open_storage

RESULTS = Path(__file__).with_name("results.json")
_BEAM = Path(apache_beam.__file__).parent
_VALIDATES_RUNNER = (
    *("pipeline_test.py", "metrics/metric_test.py", "transforms/combiners_test.py"),
    *("transforms/combinefn_lifecycle_test.py", "transforms/deduplicate_test.py"),
    *("transforms/dofn_lifecycle_test.py", "transforms/ptransform_test.py"),
    *("transforms/sideinputs_test.py", "transforms/util_test.py"),
    "ml/inference/base_test.py",
)
_LONGEST_REASON = 300
_REFUSED = "a stream with windows, GroupByKey and side inputs: refused by name, without a watermark"
_KNOWN = {
    "DeduplicateTest.test_deduplication_in_different_windows": _REFUSED,
    "SideInputsTest.test_multi_triggered_gbk_side_input": _REFUSED,
    "TestOnLocalDataflow.test_batch_rebatch_pardos": "looks here for what a worker warns of",
    "TestOnLocalDataflow.test_metrics": "Beam's DataflowMetrics never returns a gauge",
}
"""Why tests fail that do not say it themselves."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="add to results.json")
    parser.add_argument("--only", help="tests whose names match, as pytest's -k")
    parser.add_argument("--seconds", type=float, default=3600, help="stop after so many")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flexpack-beam-") as folder:
        found = run_tests(Path(folder), options)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    worse = [
        name
        for name, result in found.items()
        if result["outcome"] != "passed" and known.get(name, {}).get("outcome") == "passed"
    ]
    for name in worse:
        print(f"{name} passed before: {found[name].get('why')}")
    if options.write:
        merged = {**known, **found}
        RESULTS.write_text(json.dumps(dict(sorted(merged.items())), indent=2) + "\n")
    passed = sum(result["outcome"] == "passed" for result in found.values())
    print(f"{passed} of {len(found)} tests passed, {len(worse)} that passed before did not")
    sys.exit(1 if worse or not found else 0)


def run_tests(folder, options):
    """Return outcome and reason of every test that ran, by its name."""
    info = daemon.start_detached(
        daemon.EmulatorOptions(data_dir=folder / "data", port=0), timeout_sec=90
    )
    try:
        open_storage(info).create_bucket("beam")
        outcomes = folder / "outcomes.jsonl"
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-p", "tests.beam.plugin", "-n", "2"),
            *("-c", os.devnull, "--rootdir", str(_BEAM), "--import-mode=importlib"),
            *("-m", "it_validatesrunner or local_dataflow"),
            *(["-k", options.only] if options.only else []),
            *(str(_BEAM / name) for name in _VALIDATES_RUNNER),
            str(Path(__file__).with_name("fn_runner.py")),
        ]
        env = os.environ | daemon.shell_variables(info, project=PROJECT)
        env |= {
            "BEAM_TEST_DATAFLOW": info.dataflow_endpoint,
            "BEAM_TEST_OUTCOMES": str(outcomes),
        }
        child = subprocess.Popen(command, env=env)
        try:
            child.wait(options.seconds)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGINT)
            child.wait(120)
        return read_outcomes(outcomes)
    finally:
        daemon.stop(folder / "data", timeout_sec=60)


def read_outcomes(path):
    """Return outcome and reason of every test, by class and name."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        record = json.loads(line)
        name = ".".join(record["name"].split("::")[-2:])
        found[name] = {"outcome": record["outcome"]}
        if record["outcome"] != "passed":
            found[name]["why"] = _KNOWN.get(name) or find_reason(record["text"])
    return found


def find_reason(text):
    """Return the reason: of a skip, from the service's own line, or from the exception."""
    skipped = re.search(r"""Skipped: (.*)['"]\)$""", text)
    if skipped:
        return skipped[1]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reported = [line for line in lines if "local Dataflow" in line or "Workflow failed" in line]
    raised = [line for line in lines if line.startswith("E ")]
    reason = [*reported[-1:], *raised[-1:], *lines[-1:], "?"][0]
    return reason.removeprefix("E ").strip()[:_LONGEST_REASON]


if __name__ == "__main__":
    main()
