"""XGBoost models, written by ``save_model``: UBJSON or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from template.model import Column
from template.models.labels import LabelOptions
from template.needs.columns import ColumnType
from template.predict_result import COLUMN

_INDICATOR, _CATEGORY = "i", "c"
_SCORES_OF_TWO, _SCORES_OF_MANY = "binary:logistic", "multi:softprob"


class XGBoostModel(LabelOptions):
    """A booster.

    Its feature names are the columns, if it was trained with any. Values that are missing in the
    input are missing for XGBoost too. A categorical feature is a column of its categories, which
    XGBoost keeps from a DataFrame.
    """

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
        if names and own is not None and list(names) != own:
            raise self._error(f"feature_columns: the model's own columns are {', '.join(own)}")
        if names and len(names) != booster.num_features():
            raise self._error(
                f"feature_columns names {len(names)} columns; the model takes "
                f"{booster.num_features()}"
            )
        columns = names or tuple(own)
        types = booster.feature_types or ["float"] * len(columns)
        self._categories = self._find_categories(booster, columns, types)
        self.columns = [
            Column(name, self._find_type(name, type_))
            for name, type_ in zip(columns, types, strict=True)
        ]
        self._check_labels(booster)

    def _find_type(self, name: str, type_: str) -> ColumnType:
        if type_ == _CATEGORY and isinstance(self._categories[name][0], str):
            return "text"
        return "any" if type_ == _INDICATOR else "number"

    def _find_categories(
        self, booster: Any, columns: Sequence[str], types: Sequence[str]
    ) -> dict[str, list[Any]]:
        """Return the categories of each categorical column, in the order of their numbers."""
        categorical = [name for name, type_ in zip(columns, types, strict=True) if type_ == "c"]
        if not categorical:
            return {}
        kept = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
        kept = kept.get("gbtree", kept).get("model", {}).get("cats", {}).get("enc") or []
        found = dict(zip(columns, map(_read_categories, kept), strict=False))
        for name in categorical:
            if not all(isinstance(each, int) or each.isascii() for each in found.get(name, ())):
                raise self._error(
                    f"its column {name!r} has categories that are not ASCII, which XGBoost "
                    "truncates when it saves them: load it in a class of your own"
                )
            if not found.get(name):
                raise self._error(
                    f"its column {name!r} is categorical, and the file does not hold the "
                    "categories: train it on a DataFrame with XGBoost 3.1 or newer, or load it in "
                    "a class of your own"
                )
        return {name: found[name] for name in categorical}

    def _check_labels(self, booster: Any) -> None:
        """Refuse label options if the model has no scores of classes."""
        if not self.makes_labels:
            return
        learner = json.loads(booster.save_config())["learner"]
        objective = learner["objective"]["name"]
        if objective not in (_SCORES_OF_TWO, _SCORES_OF_MANY):
            raise self._error(
                f"option {self.makes_labels}: the model's objective {objective!r} gives no score "
                f"for each class, as {_SCORES_OF_TWO} and {_SCORES_OF_MANY} do; omit it"
            )
        if objective == _SCORES_OF_MANY:
            self.check_class_count(int(learner["learner_model_param"]["num_class"]))
        elif not self.class_names:
            raise self._error(
                f"option {self.makes_labels}: the model has one score, that of the second class; "
                "name both in the option class_names, or omit the option"
            )
        else:
            self.check_class_count(2)

    def load_file(self, local: str) -> Any:
        """Return the booster on the model's device."""
        return _load(local, self.device)

    def predict(self, df: pd.DataFrame) -> dict[str, Any] | None:
        """Return predictions, by the best iteration if training stopped early; None without rows.

        Raises:
            ValueError: a value is not a category of its column.
        """
        import xgboost

        if df.empty:
            return None
        booster = self.ensure_model()
        if booster.feature_names is not None:
            df = df[booster.feature_names]
        data = xgboost.DMatrix(
            self._make_array(df),
            feature_names=booster.feature_names,
            feature_types=booster.feature_types,
            enable_categorical=bool(self._categories),
        )
        best = booster.attr("best_iteration")
        limit = (0, int(best) + 1) if best is not None else (0, 0)
        return self.label({COLUMN: booster.predict(data, iteration_range=limit)})

    def _make_array(self, df: pd.DataFrame) -> np.ndarray:
        flags = [column.name for column in self.columns if column.type == "any"]
        if not (self._categories or flags):
            return df.to_numpy("float32")
        df = df.copy(deep=False)
        for name, categories in self._categories.items():
            numbers = {category: number for number, category in enumerate(categories)}
            known = df[name].map(numbers)
            strange = df[name][known.isna() & df[name].notna()]
            if len(strange):
                raise ValueError(
                    f"column {name!r}: {strange.tolist()[0]!r} is not among the model's categories"
                )
            df[name] = known
        for name in flags:
            df[name] = [_read_flag(name, value) for value in df[name]]
        return df.to_numpy("float32")


def _read_categories(kept: Mapping[str, Any]) -> list[Any]:
    """Return the categories of a column; its texts are one array of bytes, split at offsets."""
    if "offsets" not in kept:
        return list(kept["values"])
    content = bytes(value & 0xFF for value in kept["values"])
    ends = kept["offsets"]
    return [content[start:end].decode(errors="replace") for start, end in pairwise(ends)]


def _read_flag(column: str, value: Any) -> float:
    """Return a boolean from JSON or CSV as a number; NaN for a missing one."""
    flags = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
    if value is None or value != value:
        return float("nan")
    if (text := str(value).lower()) not in flags:
        raise ValueError(f"column {column!r}: {value!r} is not true or false")
    return flags[text]


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
