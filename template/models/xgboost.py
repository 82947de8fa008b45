"""XGBoost models, as ``save_model`` wrote them: UBJSON or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pandas as pd

from template.model import Column
from template.models.labels import LabelOptions
from template.predict_result import COLUMN


class XGBoostModel(LabelOptions):
    """A booster. Its own names of features are the columns, if it was trained with any."""

    kind = "an XGBoost model"
    modules: ClassVar[Mapping[str, str]] = {"xgboost": "xgboost"}
    extra = "xgboost"
    uses_torch = False

    def inspect_file(self, local: str) -> None:
        """Set the columns."""
        booster = _load(local, "cpu")
        own, names = booster.feature_names, self.feature_names
        if own is None and not names:
            raise self._error(
                "the file names no columns: set the model's option feature_columns to them, in the "
                "order in which it was trained"
            )
        if "c" in (booster.feature_types or ()):
            raise self._error(
                "it has categorical columns, whose categories a table does not name: load it in a "
                "class of your own"
            )
        if names and own is not None and list(names) != own:
            raise self._error(f"feature_columns: the model's own columns are {', '.join(own)}")
        if names and len(names) != booster.num_features():
            raise self._error(
                f"feature_columns names {len(names)} columns; the model takes "
                f"{booster.num_features()}"
            )
        self.columns = [Column(name, "number") for name in names or own]

    def load_file(self, local: str) -> Any:
        """Return the booster on the model's device."""
        return _load(local, self.device)

    def predict(self, df: pd.DataFrame) -> dict[str, Any]:
        """Return predictions, of the best iteration if training stopped early."""
        import xgboost

        booster = self.ensure_model()
        data = xgboost.DMatrix(df.to_numpy("float32"), feature_names=booster.feature_names)
        best = booster.attr("best_iteration")
        limit = (0, int(best) + 1) if best is not None else (0, 0)
        return self.label({COLUMN: booster.predict(data, iteration_range=limit)})


def _load(local: str, device: str) -> Any:
    import xgboost

    if device.startswith("cuda") and not xgboost.build_info().get("USE_CUDA"):
        raise ValueError(
            "this xgboost is built without CUDA: install the package xgboost, or pass --device=cpu"
        )
    booster = xgboost.Booster({"device": device, "nthread": 1})
    with open(local, "rb") as file:  # noqa: PTH123  # by content, whatever the file is called
        booster.load_model(bytearray(file.read()))
    return booster
