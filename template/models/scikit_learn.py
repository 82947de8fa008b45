"""scikit-learn estimators, saved with skops or joblib."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from template.model import Column, Option
from template.models.estimator_columns import (
    find_categories,
    find_parts,
    find_types,
    takes_texts,
)
from template.models.labels import LabelOptions
from template.predict_result import COLUMN

_METHODS = ["predict", "predict_proba", "decision_function", "transform"]


class ScikitLearnModel(LabelOptions):
    """An estimator, usually a pipeline: ``feature_names_in_`` are its columns."""

    kind = "a scikit-learn model"
    modules: ClassVar[Mapping[str, str]] = {"sklearn": "scikit-learn", "skops": "skops"}
    extra = "sklearn"
    uses_torch = False

    method = Option(
        "text",
        "The estimator's method for the rows.",
        default="predict",
        choices=_METHODS,
    )

    def inspect_file(self, local: str) -> None:
        """Set the columns."""
        estimator = self.load_file(local)
        self._check_estimator(estimator)
        own = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
        names = self.feature_names
        if not (own or names):
            raise self._error(
                "the file names no columns, because the model was trained without names: set the "
                "model's option feature_columns to them, in the order in which it was trained"
            )
        if own and names and own != list(names):
            raise self._error(f"feature_columns: the model's own columns are {', '.join(own)}")
        columns = own or list(names)
        parts = [part for part, _ in find_parts(estimator, columns)]
        self._takes_texts = not own and all(map(takes_texts, parts))
        size = 1 if self._takes_texts else getattr(estimator, "n_features_in_", None)
        if names and size not in (None, len(names)):
            raise self._error(f"feature_columns names {len(names)} columns; the model takes {size}")
        categories = [each for part in parts for each in find_categories(part)]
        self._missing = None if any(None in each for each in categories) else np.nan
        types = find_types(estimator, columns)
        self.columns = [Column(name, type_) for name, type_ in zip(columns, types, strict=True)]

    def _check_estimator(self, estimator: Any) -> None:
        from sklearn.base import BaseEstimator
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        if not isinstance(estimator, BaseEstimator):
            raise self._error(
                f"holds a {type(estimator).__module__}.{type(estimator).__qualname__}, not a "
                "scikit-learn estimator. Name a class that loads it: --model_class=module:Class"
            )
        if not hasattr(estimator, self.method):
            able = [str(each) for each in _METHODS if hasattr(estimator, each)]
            raise self._error(
                f"the {type(estimator).__name__} has no method {self.method}: set the option "
                f"method to one that it has: {', '.join(able) or 'it has none'}"
            )
        if self.makes_labels and self.method == "predict":
            raise self._error(
                f"option {self.makes_labels}: labels are made from scores; set the option method "
                "to predict_proba as well"
            )
        if type(estimator).__module__.startswith("sklearn."):
            try:
                check_is_fitted(estimator)
            except NotFittedError as error:
                raise self._error(f"holds an estimator that was not trained: {error}") from None

    def load_file(self, local: str) -> Any:
        """Return the estimator.

        Raises:
            ParameterError: loading the file may run code, and ``trusted`` is not set.
        """
        if not zipfile.is_zipfile(local):
            self.require_trust("joblib runs the code that is in a file when it loads it")
            import joblib

            try:
                return joblib.load(local)
            except ModuleNotFoundError as error:
                raise self._error(
                    f"holds objects of the module {error.name!r}, which is not installed: install "
                    "it, or name its package in requirements.in of your project (make image "
                    "CODE=DIR)"
                ) from None
        import skops.io

        unknown = skops.io.get_untrusted_types(file=local)
        if unknown:
            self.require_trust(f"it holds objects that skops does not know: {', '.join(unknown)}")
        return skops.io.load(local, trusted=unknown)

    def predict(self, df: pd.DataFrame) -> Any:
        """Return the method's result; None without rows."""
        if df.empty:
            return None
        estimator = self.ensure_model()
        texts = df.select_dtypes(object).columns
        rows: Any = df.infer_objects()
        if self._takes_texts:
            rows = df.iloc[:, 0]
        elif not hasattr(estimator, "feature_names_in_"):
            rows = rows.to_numpy()
        elif self._missing is not None and df[texts].isna().any(axis=None):
            rows = rows.assign(**{name: df[name].fillna(self._missing) for name in texts})
        result = getattr(estimator, self.method)(rows)
        if isinstance(result, pd.DataFrame):  # of set_output
            return result.reset_index(drop=True)
        if isinstance(result, list):  # of an estimator with several targets
            return {f"output_{number}": np.asarray(each) for number, each in enumerate(result)}
        result = result.toarray() if hasattr(result, "toarray") else np.asarray(result)
        return self.label({COLUMN: result}, getattr(estimator, "classes_", ()))
