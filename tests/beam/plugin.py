"""Lets Beam's test pipelines run on the local Dataflow that BEAM_TEST_DATAFLOW names.

Writes the outcome of each test, as soon as it is known, to the file that BEAM_TEST_OUTCOMES names.
"""

import json
import os

from apache_beam.testing.test_pipeline import TestPipeline

OPTIONS = {
    "dataflow_endpoint": os.environ["BEAM_TEST_DATAFLOW"],
    "project": "flexpack-tests",
    "region": "us-central1",
    "temp_location": "gs://beam/temp",
    "staging_location": "gs://beam/staging",
    "sdk_container_image": "local/flexpack",
    "pickle_library": "cloudpickle",
}


def pytest_configure(config):
    for marker in ("it_validatesrunner", "it_postcommit", "local_dataflow", "no_xdist"):
        config.addinivalue_line("markers", f"{marker}: Beam's, or ours")
    flags = " ".join(f"--{name}={value}" for name, value in OPTIONS.items())
    TestPipeline.pytest_test_pipeline_options = f"--runner=TestDataflowRunner {flags}"


def pytest_runtest_logreport(report):
    if "PYTEST_XDIST_WORKER" in os.environ or (report.when != "call" and report.passed):
        return
    text = "" if report.passed else f"{report.caplog}\n{report.longrepr}"
    record = {"name": report.nodeid, "outcome": report.outcome, "text": text}
    with open(os.environ["BEAM_TEST_OUTCOMES"], "a") as file:
        file.write(json.dumps(record) + "\n")
