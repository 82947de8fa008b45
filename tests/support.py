"""Test helpers that are not fixtures."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from launcher.emulator import daemon
from launcher.emulator.daemon import EmulatorInfo

PROJECT_ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = PROJECT_ROOT.parent / "shared" / "data"
PROJECT = "flexpack-tests"
BIN = Path(sys.executable).parent


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """IDX files of images and labels, and weights that fit them."""

    images: Path
    labels: Path
    weights: Path

    def predict_with_torch(self) -> list[tuple[int, float]]:
        """Return class index and softmax score of every image, with torch only."""
        import torch

        from template.demo.report import read_idx
        from template.models.fashion_mnist_network import FashionMnistNetwork

        network = FashionMnistNetwork()
        network.load_state_dict(torch.load(self.weights, weights_only=True))
        pixels = np.array(read_idx(str(self.images)), dtype=np.float32) / 255
        with torch.inference_mode():
            scores, indices = network.eval()(torch.from_numpy(pixels)).softmax(1).max(1)
        return list(zip(indices.tolist(), scores.tolist(), strict=True))


def bare_environ() -> dict[str, str]:
    """Return this process's environment without Google projects, accounts and endpoints.

    Also without variables that the ``make`` that runs the tests would pass to a ``make`` in a test.
    """
    google = ("CLOUDSDK_", "GOOGLE_", "GCE_", "STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST")
    left_out = (*google, "MAKE", "MFLAGS", "ARGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


def run(
    *command: str,
    env: Mapping[str, str],
    status: int = 0,
    cwd: Path = PROJECT_ROOT,
    timeout_sec: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a command; fail with all its output if it exits with another status."""
    done = subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, timeout=timeout_sec, check=False
    )
    assert done.returncode == status, (
        f"{' '.join(command)}\nexit status {done.returncode}, expected {status}\n"
        f"{done.stdout}\n{done.stderr}"
    )
    return done


@contextmanager
def run_emulator(data_dir: Path, **options: Any) -> Iterator[EmulatorInfo]:
    """A local Dataflow in a separate process, on free ports."""
    info = daemon.start_detached(
        daemon.EmulatorOptions(port=0, storage_port=0, data_dir=data_dir, **options)
    )
    try:
        yield info
    finally:
        daemon.stop(data_dir)


def open_storage(info: EmulatorInfo) -> storage.Client:
    """Return a client of a local Dataflow's Cloud Storage."""
    return storage.Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": info.storage_endpoint},
    )
