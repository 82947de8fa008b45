"""XGBoost boosters of every form, against the plain library."""

import numpy as np
import pandas as pd
import pytest

from template.parameters import ParameterError

xgboost = pytest.importorskip("xgboost")

RANDOM = np.random.default_rng(3)
FRAME = pd.DataFrame(
    {
        "age": RANDOM.uniform(18, 90, 60).round(1),
        "city": pd.Categorical(["Ulm", "Bonn", "Rom"] * 20),
        "size": pd.Categorical([3, 1, 2] * 20),
        "flag": RANDOM.uniform(0, 1, 60) > 0.5,
    }
)
NUMBERS = FRAME[["age"]].assign(visits=RANDOM.integers(0, 9, 60))
TARGET = np.arange(60) % 2


@pytest.fixture
def load(tmp_path, open_model):
    """Save a booster, and return the model of its file."""

    def save_and_load(booster, ending="ubj", **opts):
        booster.save_model(tmp_path / f"model.{ending}")
        return open_model(tmp_path / f"model.{ending}", **opts)

    return save_and_load


BOOSTERS = {
    "regressor": xgboost.XGBRegressor(n_estimators=4),
    "ranker": xgboost.XGBRanker(n_estimators=4),
    "forest": xgboost.XGBRFRegressor(n_estimators=4),
    "dart": xgboost.XGBRegressor(n_estimators=4, booster="dart", rate_drop=0.5),
    "linear": xgboost.XGBRegressor(n_estimators=4, booster="gblinear"),
    "counts": xgboost.XGBRegressor(n_estimators=4, objective="count:poisson"),
}


@pytest.mark.parametrize("name", BOOSTERS)
def test_a_booster_with_missing_values(load, name):
    settings = {"qid": np.repeat([0, 1], 30)} if name == "ranker" else {}
    booster = BOOSTERS[name].fit(NUMBERS, TARGET, **settings)
    rows = NUMBERS.astype(float)
    if name != "linear":
        rows.iloc[0] = np.nan
    predicted = load(booster)[0].predict(rows)["prediction"]
    np.testing.assert_allclose(predicted, booster.predict(rows), rtol=1e-6, atol=1e-6)


def test_several_targets(load):
    booster = xgboost.XGBRegressor(n_estimators=3).fit(NUMBERS, np.c_[TARGET, 1 - TARGET])
    predicted = load(booster)[0].predict(NUMBERS)["prediction"]
    np.testing.assert_array_equal(predicted, booster.predict(NUMBERS))


@pytest.mark.parametrize("ending", ["ubj", "json"])
@pytest.mark.parametrize("kind", ["gbtree", "dart"])
def test_categories_and_flags(load, ending, kind):
    booster = xgboost.XGBClassifier(n_estimators=6, enable_categorical=True, booster=kind)
    booster.fit(FRAME, TARGET)
    model, types = load(booster, ending)
    assert types == {"age": "number", "city": "text", "size": "number", "flag": "any"}
    read = FRAME.astype({"city": object, "size": float, "flag": object})
    wanted = booster.predict_proba(FRAME)[:, 1]
    assert len(set(wanted.tolist())) > 10
    for flags in (read["flag"], read["flag"].astype(str)):
        predicted = model.predict(read.assign(flag=flags))["prediction"]
        np.testing.assert_array_equal(predicted, wanted)
    missing = read[:1].assign(city=None, size=np.nan, flag=None)
    typed = FRAME[:1].assign(
        city=pd.Categorical([None], FRAME["city"].cat.categories),
        size=pd.Categorical([None], FRAME["size"].cat.categories),
        flag=np.nan,
    )
    assert model.predict(missing)["prediction"] == booster.predict_proba(typed)[:, 1]


@pytest.mark.parametrize(
    ("strange", "reason"),
    [
        ({"city": "Paris"}, "column 'city': 'Paris' is not among the model's categories"),
        ({"size": 7.0}, "column 'size': 7.0 is not among the model's categories"),
        ({"flag": "maybe"}, "column 'flag': 'maybe' is not true or false"),
    ],
)
def test_a_value_that_the_model_does_not_know_is_named(load, strange, reason):
    booster = xgboost.XGBClassifier(n_estimators=2, enable_categorical=True).fit(FRAME, TARGET)
    model, _ = load(booster)
    row = {"age": 3.0, "city": "Ulm", "size": 1.0, "flag": True} | strange
    with pytest.raises(ValueError, match=reason):
        model.predict(pd.DataFrame([row]))


def test_categories_that_the_file_does_not_hold_end_the_launch(load):
    codes = np.c_[FRAME["age"], FRAME["city"].cat.codes]
    settings = {"feature_names": ["age", "city"], "feature_types": ["float", "c"]}
    data = xgboost.DMatrix(codes, label=TARGET, enable_categorical=True, **settings)
    with pytest.raises(ParameterError, match=r"'city' is categorical, and the file does not hold"):
        load(xgboost.train({}, data, 2))
    cities = pd.DataFrame({"city": pd.Categorical(["Ulm", "Köln", "Bonn"] * 20)})
    booster = xgboost.XGBClassifier(n_estimators=2, enable_categorical=True).fit(cities, TARGET)
    with pytest.raises(ParameterError, match=r"'city' has categories that are not ASCII"):
        load(booster)


@pytest.mark.parametrize(
    ("opts", "reason"),
    [
        ({"class_names": "a,b"}, "objective 'reg:squarederror' gives no score for each class"),
        ({"top_k": 1}, "option top_k: the model's objective"),
    ],
)
def test_labels_of_a_regressor_end_the_launch(load, opts, reason):
    booster = xgboost.XGBRegressor(n_estimators=2).fit(NUMBERS, TARGET)
    with pytest.raises(ParameterError, match=reason):
        load(booster, **opts)


def test_labels_of_another_number_end_the_launch(load):
    booster = xgboost.XGBClassifier(n_estimators=2).fit(NUMBERS, np.arange(60) % 3)
    with pytest.raises(ParameterError, match="class_names: 2 names; the model has 3 scores"):
        load(booster, class_names="a,b")
    model, _ = load(booster, class_names="a,b,c")
    wanted = booster.predict(NUMBERS)
    assert list(model.predict(NUMBERS)["label"]) == [["a", "b", "c"][n] for n in wanted]
    booster = xgboost.XGBClassifier(n_estimators=2).fit(NUMBERS, TARGET)
    with pytest.raises(ParameterError, match="one score, that of the second class; name both"):
        load(booster, top_k=1)


def test_columns_in_another_order_are_found_by_name(load):
    """A newer file in a stream may have them in another order than the one at the launch."""
    booster = xgboost.XGBRegressor(n_estimators=3).fit(NUMBERS, TARGET)
    predicted = load(booster)[0].predict(NUMBERS[["visits", "age"]])["prediction"]
    np.testing.assert_array_equal(predicted, booster.predict(NUMBERS))
