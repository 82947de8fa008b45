"""scikit-learn estimators of every form, against the plain library."""

import numpy as np
import pandas as pd
import pytest

from template.parameters import ParameterError

pytest.importorskip("sklearn")
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, StackingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)

RANDOM = np.random.default_rng(2)
FRAME = pd.DataFrame(
    {
        "age": RANDOM.uniform(18, 90, 60).round(1),
        "zip": np.array(["01", "02", "10"] * 20, dtype=object),
        "size": np.array([1, 2, 10] * 20),
        "flag": RANDOM.uniform(0, 1, 60) > 0.5,
    }
)
TARGET = (FRAME["age"] > 50).astype(int).to_numpy()


class Doubler(TransformerMixin, BaseEstimator):
    """A transformer that is not scikit-learn's."""

    def fit(self, x, y=None):
        self.feature_names_in_ = np.array(x.columns)
        self.is_fitted_ = True
        return self

    def transform(self, x):
        return x[["age"]].astype(float) * 2


@pytest.fixture
def load(tmp_path, open_model):
    """Save an estimator with joblib, and return the model of its file."""
    import joblib

    def save_and_load(estimator, **opts):
        joblib.dump(estimator, tmp_path / "model")
        return open_model(tmp_path / "model", trusted=True, **opts)

    return save_and_load


def one_hot(columns, **settings):
    return ColumnTransformer([("c", OneHotEncoder(**settings), columns)], remainder="drop")


CLASSIFIERS = {
    "encoder alone": (OneHotEncoder(), {"zip": "text", "size": "number", "flag": "boolean"}),
    "ordinal": (OrdinalEncoder(), {"zip": "text", "age": "number"}),
    "columns": (
        ColumnTransformer(
            [
                ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
                ("t", TargetEncoder(cv=2), ["zip"]),
            ],
            remainder="passthrough",
        ),
        {"age": "number", "zip": "text", "size": "number"},
    ),
    "selected": (
        ColumnTransformer([("n", StandardScaler(), make_column_selector(dtype_include=float))]),
        {"zip": "any", "age": "number"},
    ),
    "texts of a column": (
        ColumnTransformer([("t", TfidfVectorizer(token_pattern=r"\d"), "zip")]),
        {"zip": "text"},
    ),
    "union": (
        FeatureUnion([("a", StandardScaler()), ("b", MinMaxScaler())]),
        {"age": "number", "size": "number"},
    ),
    "imputed texts": (
        make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
        {"zip": "text"},
    ),
    "function": (FunctionTransformer(), {"age": "number", "size": "number"}),
    "of somebody else": (Doubler(), {"age": "any", "zip": "any"}),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_pipeline_gets_its_columns_in_the_types_of_its_training(load, name):
    first, types = CLASSIFIERS[name]
    rows = FRAME[list(types)]
    estimator = make_pipeline(first, LogisticRegression()).fit(rows, TARGET)
    model, found = load(estimator, method="predict_proba")
    assert found == types
    np.testing.assert_array_equal(model.predict(rows)["prediction"], estimator.predict_proba(rows))


OTHERS = {
    "isolation forest": (IsolationForest(n_estimators=3, random_state=0), ["age", "size"]),
    "clusters": (KMeans(2, n_init=1, random_state=0), ["age", "size"]),
    "search": (GridSearchCV(Ridge(), {"alpha": [1, 2]}), ["age", "size"]),
    "search of a pipeline": (
        GridSearchCV(make_pipeline(OneHotEncoder(), LogisticRegression()), {}, cv=2),
        ["zip", "size"],
    ),
    "stack": (
        StackingClassifier([("a", make_pipeline(one_hot(["zip"]), LogisticRegression()))], cv=2),
        ["age", "zip"],
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_estimators(load, name):
    estimator, columns = OTHERS[name]
    rows = FRAME[columns]
    estimator.fit(rows, TARGET)
    model, _ = load(estimator)
    np.testing.assert_array_equal(model.predict(rows)["prediction"], estimator.predict(rows))


def test_categories_of_a_data_frame(load):
    rows = FRAME[["age", "zip"]].astype({"zip": "category"})
    estimator = HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype")
    estimator.fit(rows, TARGET)
    model, types = load(estimator)
    assert types == {"age": "number", "zip": "text"}
    predicted = model.predict(FRAME[["age", "zip"]])["prediction"]
    np.testing.assert_array_equal(predicted, estimator.predict(rows))


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_missing_text_is_what_it_was_in_training(load, missing):
    rows = FRAME[["zip"]].copy()
    rows.loc[:9, "zip"] = missing
    estimator = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    estimator.fit(rows, (np.arange(60) < 10).astype(int))
    model, _ = load(estimator)
    read = rows.astype(object).where(rows.notna(), None)  # as a template reads it
    np.testing.assert_array_equal(model.predict(read)["prediction"], estimator.predict(rows))


def test_several_targets(load):
    rows, targets = FRAME[["age", "size"]], np.c_[TARGET, 1 - TARGET]
    estimator = MultiOutputClassifier(LogisticRegression()).fit(rows, targets)
    model, _ = load(estimator, method="predict_proba")
    predicted = model.predict(rows)
    assert list(predicted) == ["output_0", "output_1"]
    for found, wanted in zip(predicted.values(), estimator.predict_proba(rows), strict=True):
        np.testing.assert_array_equal(found, wanted)
    estimator = MultiOutputRegressor(Ridge()).fit(rows, targets)
    predicted = load(estimator)[0].predict(rows)["prediction"]
    np.testing.assert_array_equal(predicted, estimator.predict(rows))


def test_a_frame_that_a_transformer_returns_keeps_its_columns(load):
    rows = FRAME[["age", "size"]]
    estimator = make_pipeline(StandardScaler().set_output(transform="pandas")).fit(rows)
    predicted = load(estimator, method="transform")[0].predict(rows)
    pd.testing.assert_frame_equal(predicted, estimator.transform(rows))


def refused():
    rows = FRAME[["age", "size"]]
    fitted = LogisticRegression().fit(rows, TARGET)
    untrained = "was not trained: This LogisticRegression instance is not fitted"
    return {
        "dict": ({"model": fitted}, {}, r"holds a builtins\.dict, not a scikit-learn estimator"),
        "untrained": (LogisticRegression(), {}, untrained),
        "no such method": (
            IsolationForest(n_estimators=2).fit(rows),
            {"method": "predict_proba"},
            "the IsolationForest has no method predict_proba: .* predict, decision_function",
        ),
        "no method": (DBSCAN().fit(rows), {}, "has no method predict: .* it has none"),
        "labels": (fitted, {"class_names": "a,b"}, "set the option method to predict_proba"),
    }


@pytest.mark.parametrize("name", refused())
def test_what_does_not_do_ends_the_launch(load, name):
    estimator, opts, reason = refused()[name]
    with pytest.raises(ParameterError, match=reason):
        load(estimator, **opts)


def test_a_module_that_is_not_installed_is_named(tmp_path, open_model):
    name = b"lightgbm_of_nobody"
    pickled = b"\x80\x04\x8c" + bytes([len(name)]) + name + b"\x8c\x0eLGBMClassifier\x93."
    (tmp_path / "model.pkl").write_bytes(pickled)
    with pytest.raises(ParameterError, match=r"the module 'lightgbm_of_nobody'.*install it"):
        open_model(tmp_path / "model.pkl", trusted=True)
