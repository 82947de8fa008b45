"""Small model files of the frameworks that are extras, each with rows that it predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

FEATURES = ("age", "income")
ROWS = 20


@dataclass(frozen=True)
class ModelFile:
    """How a file is made, and the template parameters that it needs."""

    save: Callable[[Path], None]
    parameters: Mapping[str, str] = field(default_factory=dict)
    needs_torch: bool = False


def save_model(name: str, folder: Path) -> tuple[Path, dict[str, str]]:
    """Write the model of an extra, and rows.csv beside it; return its path and its parameters."""
    model = MODELS[name]
    draw_rows().to_csv(folder / "rows.csv", index=False)
    model.save(folder / "model.bin")
    return folder / "model.bin", dict(model.parameters)


def draw_rows() -> pd.DataFrame:
    """Return rows of two features, float64 (20, 2)."""
    values = np.random.default_rng(0).random((ROWS, len(FEATURES)))
    return pd.DataFrame(values, columns=list(FEATURES))


def save_onnx(path: Path) -> None:
    """Save a linear layer."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", len(FEATURES)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(np.ones((len(FEATURES), 1), "float32"), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


def save_xgboost(path: Path) -> None:
    """Save a small forest."""
    import xgboost

    rows = draw_rows()
    model = xgboost.XGBClassifier(n_estimators=3).fit(rows, rows["age"] > 0.5)
    model.save_model(path.with_suffix(".ubj"))
    path.with_suffix(".ubj").rename(path)  # the content decides, not the name


def save_scikit_learn(path: Path) -> None:
    """Save a logistic regression with skops."""
    import skops.io
    from sklearn.linear_model import LogisticRegression

    rows = draw_rows()
    skops.io.dump(LogisticRegression().fit(rows, rows["age"] > 0.5), path)


def save_text_classifier(path: Path) -> None:
    """Save a Hugging Face folder, with random weights, and texts as its rows."""
    from tests.template.models.hugging_face_folders import SIZES, draw_texts, save_folder

    save_folder(path, "BertForSequenceClassification", **SIZES)
    pd.DataFrame({"text": draw_texts(ROWS)}).to_csv(path.with_name("rows.csv"), index=False)


MODELS = {
    "onnx": ModelFile(save_onnx, {"feature_columns": ",".join(FEATURES)}),
    "xgboost": ModelFile(save_xgboost),
    "sklearn": ModelFile(save_scikit_learn),
    "transformers": ModelFile(save_text_classifier, needs_torch=True),
}
