"""Tests that need a CUDA device; without one they are skipped with the reason.

``FLEXPACK_GPU_TESTS_ON=cpu`` runs those that do not need CUDA on the CPU, to try their code.
``FLEXPACK_GPU_OUTCOMES`` names a file that gets a line of JSON for each test as it ends.
"""

from __future__ import annotations

import json
import os

import pytest

from tests.gpu.obstacle import find_gpu_obstacle

DEVICE = os.environ.get("FLEXPACK_GPU_TESTS_ON", "cuda")
OUTCOMES = os.environ.get("FLEXPACK_GPU_OUTCOMES")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark of tests that cannot run on a CPU instead."""
    config.addinivalue_line("markers", "cuda: needs CUDA itself, not only a device of torch")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Record an outcome at once, so that it is known even if a later test never ends."""
    if OUTCOMES and (report.when == "call" or report.outcome != "passed"):
        reason = report.longreprtext[-2000:] if report.failed else ""
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2]
        record = {"outcome": report.outcome, "name": report.nodeid, "reason": reason}
        with open(OUTCOMES, "a") as file:
            file.write(json.dumps(record) + "\n")


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest) -> str:
    """torch's device to test on; skips the test if there is none."""
    obstacle = find_gpu_obstacle()
    if obstacle and (DEVICE == "cuda" or request.node.get_closest_marker("cuda")):
        pytest.skip(obstacle)
    return DEVICE
