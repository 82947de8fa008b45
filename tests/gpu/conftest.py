"""Tests that need a CUDA device; without one they are skipped with the reason.

``FLEXPACK_GPU_TESTS_ON=cpu`` runs those that need no CUDA on the CPU, so that their code is tried.
"""

from __future__ import annotations

import os

import pytest

from tests.gpu.obstacle import find_gpu_obstacle

DEVICE = os.environ.get("FLEXPACK_GPU_TESTS_ON", "cuda")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark of tests that a CPU cannot stand in for."""
    config.addinivalue_line("markers", "cuda: needs CUDA itself, not only a device of torch")


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest) -> str:
    """torch's device to test on; skips the test if there is none."""
    obstacle = find_gpu_obstacle()
    if obstacle and (DEVICE == "cuda" or request.node.get_closest_marker("cuda")):
        pytest.skip(obstacle)
    return DEVICE
