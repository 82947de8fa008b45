"""GPU memory: halving when it runs short, updates, and no leftover copies of the weights."""

import gc
import os

import pandas as pd
import pytest
import torch

from template.inference import BlockModelHandler, PredictSettings
from template.model import BaseModel

MIB = 1 << 20
WEIGHTS_MIB = 256
ROW_MIB = 64


class Heavy(BaseModel):
    """Weights of 256 MiB, and 64 MiB for each row that it predicts."""

    def load_model(self, path, **opts):
        return torch.load(path, map_location="cpu", weights_only=True).to(self.device)

    def predict(self, df):
        factor = self.ensure_model()[0]
        rows = torch.tensor(df["x"].to_numpy("float32"), device=self.device)
        room = torch.zeros(len(df), ROW_MIB * MIB // 4, device=self.device)
        return {"y": (room[:, 0] + rows * factor).cpu()}


def write_weights(path, factor):
    torch.save(torch.full((WEIGHTS_MIB * MIB // 4,), float(factor)), path)
    return str(path)


def handler_of(path, device):
    settings = PredictSettings(key_columns=("key",), device=device, handles_exceptions=True)
    return BlockModelHandler(Heavy(path), settings)


def block_of(rows):
    return pd.DataFrame({"key": [f"k{n}" for n in range(rows)], "x": range(rows)})


def allocated_mib():
    gc.collect()
    torch.cuda.empty_cache()
    return torch.cuda.memory_allocated() / MIB


def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / MIB


@pytest.fixture
def little_memory(device):
    """Leave room for the weights and about twelve rows."""
    torch.cuda.init()
    total = torch.cuda.get_device_properties(0).total_memory
    room = WEIGHTS_MIB + 12 * ROW_MIB + allocated_mib()
    torch.cuda.set_per_process_memory_fraction(room * MIB / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.cuda
@pytest.mark.usefixtures("little_memory")
def test_a_block_that_is_too_large_is_halved_and_every_row_is_right(tmp_path, device):
    handler = handler_of(write_weights(tmp_path / "w.pt", 3), device)
    parts = handler.run_inference(block_of(40), handler.load_model())
    assert len(parts) > 2
    frame = pd.concat(parts)
    assert frame["key"].tolist() == [f"k{n}" for n in range(40)]
    assert frame["y"].tolist() == [3.0 * n for n in range(40)]


@pytest.mark.cuda
def test_updates_free_the_weights_that_they_replace(tmp_path, device):
    before = allocated_mib()
    handler = handler_of(write_weights(tmp_path / "0.pt", 0), device)
    handler.run_inference(block_of(2), handler.load_model())
    for number in range(1, 6):
        handler.update_model_path(write_weights(tmp_path / f"{number}.pt", number))
        (frame,) = handler.run_inference(block_of(2), handler.load_model())
        assert frame["y"].tolist() == [0.0, number]
        assert allocated_mib() - before < WEIGHTS_MIB * 1.1
    del handler, frame


def test_no_copy_of_the_weights_is_left_behind(tmp_path, device):
    path = write_weights(tmp_path / "w.pt", 2)
    torch.ones(1, device=device).add_(1)  # what CUDA itself takes
    before = resident_mib()
    on_gpu = allocated_mib() if device == "cuda" else 0
    handler = handler_of(path, device)
    serving = handler.load_model()
    gc.collect()
    kept = resident_mib() - before
    assert kept < (WEIGHTS_MIB / 2 if device == "cuda" else WEIGHTS_MIB * 1.5)
    if device == "cuda":
        assert WEIGHTS_MIB <= allocated_mib() - on_gpu < WEIGHTS_MIB * 1.1
    assert handler.run_inference(block_of(1), serving)[0]["y"].tolist() == [0.0]


@pytest.mark.cuda
def test_each_gpu_has_a_copy(tmp_path):
    count = torch.cuda.device_count()
    if count < 2:
        pytest.skip("this machine has one GPU")
    handler = handler_of(write_weights(tmp_path / "w.pt", 2), "cuda")
    handler.load_model()
    for number in range(count):
        assert torch.cuda.memory_allocated(number) >= WEIGHTS_MIB * MIB
