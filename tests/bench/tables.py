"""The table, its files and the model of ``bench_tables.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from pyarrow import csv, parquet

from template.files import download_file_to_localfs
from template.model import BaseModel, Column

FEATURES = [f"x{number}" for number in range(20)]
KEY = "id"
_ROWS_AT_A_TIME = 100_000


class Network(torch.nn.Module):
    """The network of a project from ``flexpack init --kind table``, with more features."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(len(FEATURES), 16), torch.nn.ReLU(), torch.nn.Linear(16, 1)
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return a logit for each row."""
        return self.layers(rows)[:, 0]


class ChurnModel(BaseModel):
    """The model class of such a project."""

    columns = [Column(name, "number") for name in FEATURES]  # noqa: RUF012 (as in a project)

    def load_model(self, path: str) -> Network:
        """Return the network."""
        with download_file_to_localfs(path) as file:
            return load_network(Path(file))

    def predict(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return columns ``leaves`` and ``risk``."""
        risk = self.predict_risk(df.to_numpy("float32"))
        return pd.DataFrame({"leaves": risk > 0.5, "risk": risk})

    def predict_risk(self, rows: np.ndarray) -> np.ndarray:
        """Return the risk of each row of float32 (n, features)."""
        return predict_risk(self.ensure_model(), rows)


def predict_risk(network: Network, rows: np.ndarray) -> np.ndarray:
    """Return the risk, float32 (n,), of each row of float32 (n, features)."""
    with torch.inference_mode():
        return network(torch.from_numpy(np.ascontiguousarray(rows))).sigmoid().numpy()


def load_network(path: Path) -> Network:
    network = Network()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def write_weights(path: Path, network: torch.nn.Module) -> Path:
    """Write random weights of a network."""
    torch.save(network.state_dict(), path)
    return path


def write_table(path: Path, count: int) -> Path:
    """Write ``count`` rows, the same each time, as CSV or Parquet, depending on the path's name."""
    generator = np.random.default_rng(18)
    schema = pa.schema([(KEY, pa.string()), *((name, pa.float64()) for name in FEATURES)])
    if path.suffix == ".csv":
        writer = csv.CSVWriter(path, schema, write_options=csv.WriteOptions(quoting_style="none"))
    else:
        writer = parquet.ParquetWriter(path, schema)
    with writer:
        # Parquet: one row group, as pyarrow.parquet.write_table would make of fewer than 2**20.
        frames = []
        for first in range(0, count, _ROWS_AT_A_TIME):
            rows = min(_ROWS_AT_A_TIME, count - first)
            numbers = generator.normal(size=(rows, len(FEATURES))).round(4)
            keys = pa.array([f"c{row:07}" for row in range(first, first + rows)])
            columns = [keys, *(pa.array(numbers[:, each]) for each in range(len(FEATURES)))]
            frames.append(pa.table(columns, schema=schema))
        writer.write_table(pa.concat_tables(frames))
    return path
