"""Estimators of scikit-learn, as skops or joblib wrote them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from template.model import Column, Option
from template.models.labels import LabelOptions
from template.needs.columns import ColumnType
from template.predict_result import COLUMN


class ScikitLearnModel(LabelOptions):
    """An estimator, usually a pipeline: ``feature_names_in_`` are its columns."""

    kind = "a scikit-learn model"
    modules: ClassVar[Mapping[str, str]] = {"sklearn": "scikit-learn", "skops": "skops"}
    extra = "sklearn"
    uses_torch = False

    method = Option(
        "text",
        "What the estimator does with the rows.",
        default="predict",
        choices=["predict", "predict_proba", "decision_function", "transform"],
    )

    def inspect_file(self, local: str) -> None:
        """Set the columns."""
        estimator = self.load_file(local)
        if not hasattr(estimator, self.method):
            raise self._error(f"the estimator has no method {self.method}: set the option method")
        own = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
        names = self.feature_names
        if not (own or names):
            raise self._error(
                "the file names no columns, because the model was trained without names: set the "
                "model's option feature_columns to them, in the order in which it was trained"
            )
        if own and names and own != list(names):
            raise self._error(f"feature_columns: the model's own columns are {', '.join(own)}")
        first = _find_first(estimator)
        size = None if _takes_texts(first) else getattr(estimator, "n_features_in_", None)
        if names and size not in (None, len(names)):
            raise self._error(f"feature_columns names {len(names)} columns; the model takes {size}")
        type_: ColumnType = "any" if hasattr(first, "transformers_") else "number"
        if _takes_texts(first):
            type_ = "text"
        self.columns = [Column(name, type_) for name in names or own]

    def load_file(self, local: str) -> Any:
        """Return the estimator.

        Raises:
            ParameterError: loading the file may run code, and nobody said that it is trusted.
        """
        if not zipfile.is_zipfile(local):
            self.require_trust("joblib runs the code that is in a file when it loads it")
            import joblib

            return joblib.load(local)
        import skops.io

        unknown = skops.io.get_untrusted_types(file=local)
        if unknown:
            self.require_trust(f"it holds objects that skops does not know: {', '.join(unknown)}")
        return skops.io.load(local, trusted=unknown)

    def predict(self, df: pd.DataFrame) -> dict[str, Any]:
        """Return what the method does."""
        estimator = self.ensure_model()
        rows: Any = df.infer_objects()
        if _takes_texts(_find_first(estimator)):
            rows = df.iloc[:, 0]
        elif not hasattr(estimator, "feature_names_in_"):
            rows = rows.to_numpy()
        result = getattr(estimator, self.method)(rows)
        result = result.toarray() if hasattr(result, "toarray") else np.asarray(result)
        if self.method == "predict":
            return {COLUMN: result}
        return self.label({COLUMN: result}, getattr(estimator, "classes_", ()))


def _find_first(estimator: Any) -> Any:
    """Return what gets the rows first."""
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[0][1]
    return estimator


def _takes_texts(first: Any) -> bool:
    return hasattr(first, "build_analyzer")
