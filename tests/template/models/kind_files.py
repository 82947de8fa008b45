"""A small model of every kind that needs no class, and what the plain library predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

RANDOM = np.random.default_rng(8)
FRAME = pd.DataFrame(
    {
        "age": RANDOM.uniform(18, 90, 9).round(2),
        "income": RANDOM.uniform(0, 9, 9).round(2),
        "visits": RANDOM.uniform(0, 9, 9).round(2),
    }
)
TARGET = np.arange(9) % 2
FEATURES = {"feature_columns": "age,income,visits"}
SUFFIXES = {
    "torchscript": "pt", "exported": "pt2", "onnx": "onnx", "ubj": "ubj", "json": "json",
    "skops": "skops", "joblib": "joblib", "compressed": "joblib",
}  # fmt: skip
FRAMEWORKS = {
    "onnx": "onnxruntime", "ubj": "xgboost", "json": "xgboost", "skops": "skops",
    "joblib": "sklearn", "compressed": "sklearn",
}  # fmt: skip
"""What has to be there beside torch."""


@dataclass(frozen=True)
class Saved:
    """A file, the options that it needs, the column of its predictions and the predictions."""

    path: Path
    opts: dict[str, Any]
    column: str
    wanted: np.ndarray


def save(kind: str, folder: Path) -> Saved:
    """Save a model of a kind as ``model`` with its suffix."""
    path = folder / f"model.{SUFFIXES[kind]}"
    rows = FRAME.to_numpy(np.float32)
    maker: dict[str, Callable[[Path, np.ndarray], Saved]] = {
        "torchscript": _save_torchscript, "exported": _save_exported, "onnx": _save_onnx,
        "ubj": _save_booster, "json": _save_booster,
    }  # fmt: skip
    if kind in maker:
        return maker[kind](path, rows)
    return _save_estimator(path, kind)


def _make_network() -> torch.nn.Module:
    torch.manual_seed(1)
    layers = torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    return torch.nn.Sequential(*layers).eval()


def _save_torchscript(path: Path, rows: np.ndarray) -> Saved:
    network = _make_network()
    torch.jit.script(network).save(path)
    return Saved(path, FEATURES, "prediction", _predict(network, rows))


def _save_exported(path: Path, rows: np.ndarray) -> Saved:
    network = _make_network()
    torch.export.save(torch.export.export(network, (torch.zeros(4, 3),)), path)
    opts = FEATURES | {"trusted": True}
    return Saved(path, opts, "prediction", _predict(network, rows))


def _predict(network: torch.nn.Module, rows: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(rows)).numpy()


def _save_onnx(path: Path, rows: np.ndarray) -> Saved:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "w"], ["scores"])],
        "graph",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [4, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [4, 2])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return Saved(path, FEATURES, "scores", rows @ weights)


def _save_booster(path: Path, rows: np.ndarray) -> Saved:
    import xgboost

    booster = xgboost.XGBClassifier(n_estimators=4, min_child_weight=0).fit(FRAME, TARGET)
    booster.save_model(path)
    return Saved(path, {}, "prediction", booster.predict_proba(FRAME)[:, 1])


def _save_estimator(path: Path, kind: str) -> Saved:
    import joblib
    import skops.io
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, TARGET)
    if kind == "skops":
        skops.io.dump(estimator, path)
    else:
        joblib.dump(estimator, path, compress=3 if kind == "compressed" else 0)
    opts = {"method": "predict_proba"} | ({} if kind == "skops" else {"trusted": True})
    return Saved(path, opts, "prediction", estimator.predict_proba(FRAME))
