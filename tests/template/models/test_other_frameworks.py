"""ONNX, XGBoost and scikit-learn without a class, against the plain libraries."""

import shutil
import sys
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest

from template.parameters import ParameterError

RANDOM = np.random.default_rng(5)
FRAME = pd.DataFrame(
    {
        "age": RANDOM.uniform(18, 90, 200).round(2),
        "income": RANDOM.uniform(0, 9e4, 200).round(2),
        "visits": RANDOM.uniform(0, 9, 200).round(2),
    }
)
TARGET = (FRAME["age"] * 900 > FRAME["income"]).to_numpy().astype(int)


@pytest.fixture
def table(tmp_path):
    """The rows, in a file whose columns are in another order and which has one more column."""
    path = tmp_path / "rows.csv"
    shuffled = FRAME[["visits", "age", "income"]].assign(id=[f"r{n}" for n in range(len(FRAME))])
    shuffled.to_csv(path, index=False)
    return path


def column(outcome, name="prediction"):
    rows = outcome.by_key()
    return np.array([rows[f"r{n}"][name] for n in range(len(FRAME))])


@pytest.fixture
def save_onnx(tmp_path):
    """Save a linear layer with a softmax, of one input or of one for each column."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    def save(*, rows="rows", per_column=False, data_type=TensorProto.FLOAT):
        names = list(FRAME) if per_column else ["features"]
        width = 1 if per_column else 3
        weights = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)
        nodes = [
            helper.make_node("MatMul", ["joined" if per_column else "features", "w"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ]
        if per_column:
            nodes.insert(0, helper.make_node("Concat", names, ["joined"], axis=1))
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info(name, data_type, [rows, width]) for name in names],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, 2])
                for name in ("probabilities", "logits")
            ],
            [numpy_helper.from_array(weights, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        path = tmp_path / "model.bin"  # the content decides, not the name
        onnx.save(model, path)
        return path

    return save


def run_onnx(path, inputs):
    import onnxruntime

    return onnxruntime.InferenceSession(str(path)).run(None, inputs)


@pytest.mark.parametrize("batch_size", [1024, 7])
@pytest.mark.parametrize("kind", ["one-input", "input-per-column"])
def test_onnx(predict_file, save_onnx, table, kind, batch_size):
    path = save_onnx(per_column=kind != "one-input")
    opts = {"feature_columns": "age,income,visits"} if kind == "one-input" else {}
    outcome = predict_file(path, table, opts, key_column="id", batch_size=batch_size)
    inputs = {name: FRAME[[name]].to_numpy("float32") for name in FRAME}
    if kind == "one-input":
        inputs = {"features": FRAME.to_numpy("float32")}
    for name, wanted in zip(("probabilities", "logits"), run_onnx(path, inputs), strict=True):
        np.testing.assert_allclose(column(outcome, name), wanted, rtol=1e-6)


def test_onnx_of_a_fixed_number_of_rows(predict_file, save_onnx, table):
    opts = {"feature_columns": "age,income,visits", "class_names": "no,yes"}
    outcome = predict_file(save_onnx(rows=64), table, opts, key_column="id")
    (wanted, _) = run_onnx(save_onnx(), {"features": FRAME.to_numpy("float32")})
    assert list(column(outcome, "label")) == [["no", "yes"][n] for n in wanted.argmax(1)]
    np.testing.assert_allclose(column(outcome, "score"), wanted.max(1), rtol=1e-6)


def test_onnx_names_what_is_wrong(inspect, save_onnx):
    with pytest.raises(ParameterError, match=r"no columns for its input 'features' .*\(rows, 3\)"):
        inspect(save_onnx(), {})
    with pytest.raises(ParameterError, match="takes 3 columns, but feature_columns names 2"):
        inspect(save_onnx(), {"feature_columns": "age,income"})
    path = save_onnx()
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(ParameterError, match="is an ONNX model that does not load"):
        inspect(path, {"feature_columns": "age,income,visits"})


def test_a_missing_framework_is_named(inspect, save_onnx, monkeypatch):
    path = save_onnx()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ParameterError, match=r"needs onnxruntime: install flexpack\[onnx\]"):
        inspect(path, {})


def test_a_missing_column_is_named(predict_file, save_onnx, tmp_path):
    (tmp_path / "other.csv").write_text("age,visits\n1,2\n")
    (letter,) = predict_file(save_onnx(per_column=True), tmp_path / "other.csv", {}).dead_letters
    assert "no column 'income'" in letter["error"]


@pytest.mark.parametrize("wrapped", ["folder", "zip", "tar.gz"])
def test_a_folder_or_an_archive(predict_file, save_onnx, table, tmp_path, wrapped):
    folder = tmp_path / "wrapped" / "model"
    folder.mkdir(parents=True)
    shutil.copy(save_onnx(per_column=True), folder / "churn.onnx")
    (folder / "README.md").write_text("notes")
    path = folder if wrapped == "folder" else tmp_path / f"m.{wrapped}"
    if wrapped == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(folder / "churn.onnx", "model/churn.onnx")
    if wrapped == "tar.gz":
        with tarfile.open(path, "w:gz") as tar:
            tar.add(folder, "model")
    inputs = {name: FRAME[[name]].to_numpy("float32") for name in FRAME}
    outcome = predict_file(path, table, {}, key_column="id")
    wanted, _ = run_onnx(folder / "churn.onnx", inputs)
    np.testing.assert_allclose(column(outcome, "probabilities"), wanted, rtol=1e-6)


@pytest.mark.parametrize("ending", ["ubj", "json"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
def test_xgboost(predict_file, inspect, table, tmp_path, ending, named):
    xgboost = pytest.importorskip("xgboost")
    data = FRAME if named else FRAME.to_numpy()
    model = xgboost.XGBClassifier(n_estimators=7, max_depth=3).fit(data, TARGET)
    model.save_model(tmp_path / f"m.{ending}")
    path = tmp_path / "model"
    (tmp_path / f"m.{ending}").rename(path)
    if not named:
        with pytest.raises(ParameterError, match="set the model's option feature_columns"):
            inspect(path, {})
    with pytest.raises(ParameterError, match=r"the model's own columns are|names 2 columns"):
        inspect(path, {"feature_columns": "age,visits"})
    opts = {} if named else {"feature_columns": ",".join(FRAME)}
    wanted = model.predict_proba(data)[:, 1]
    outcome = predict_file(path, table, opts, key_column="id")
    np.testing.assert_allclose(column(outcome), wanted, rtol=0, atol=1e-6)
    outcome = predict_file(path, table, opts | {"class_names": "stays,leaves"}, key_column="id")
    assert list(column(outcome, "label")) == ["leaves" if n > 0.5 else "stays" for n in wanted]


def test_xgboost_of_several_classes_that_stopped_early(predict_file, table, tmp_path):
    xgboost = pytest.importorskip("xgboost")
    target = np.arange(len(FRAME)) % 3
    model = xgboost.XGBClassifier(n_estimators=30, early_stopping_rounds=2)
    model.fit(FRAME, target, eval_set=[(FRAME[::-1], target)], verbose=False)
    model.save_model(tmp_path / "m.ubj")
    outcome = predict_file(tmp_path / "m.ubj", table, {}, key_column="id")
    np.testing.assert_allclose(column(outcome), model.predict_proba(FRAME), rtol=0, atol=1e-6)


def test_a_damaged_xgboost_file(inspect, tmp_path):
    pytest.importorskip("xgboost")
    (tmp_path / "m.json").write_text('{"learner":{"attributes":')
    with pytest.raises(ParameterError, match="is an XGBoost model that does not load"):
        inspect(tmp_path / "m.json", {})


@pytest.fixture
def save_estimator(tmp_path):
    """Save an estimator with skops or joblib."""
    skops_io = pytest.importorskip("skops.io")
    import joblib

    def save(estimator, how):
        path = tmp_path / "model"
        if how == "skops":
            skops_io.dump(estimator, path)
        else:
            joblib.dump(estimator, path, compress=3 if how == "joblib-compressed" else 0)
        return path

    return save


@pytest.mark.parametrize("how", ["skops", "joblib", "joblib-compressed"])
def test_scikit_learn(predict_file, inspect, save_estimator, table, how):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    names = np.array(["stays", "leaves"])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, names[TARGET])
    path = save_estimator(model, how)
    trusted = {} if how == "skops" else {"trusted": True}
    if trusted:
        with pytest.raises(ParameterError, match=r"joblib runs the code.*trusted to true"):
            inspect(path, {})
    outcome = predict_file(path, table, trusted, key_column="id")
    assert list(column(outcome)) == list(model.predict(FRAME))
    opts = trusted | {"method": "predict_proba"}
    wanted = model.predict_proba(FRAME)
    scores = column(predict_file(path, table, opts, key_column="id"))
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-12)
    top = predict_file(path, table, opts | {"top_k": 1}, key_column="id")
    assert [labels[0] for labels in column(top, "labels")] == list(model.predict(FRAME))


def test_scikit_learn_without_names(predict_file, inspect, save_estimator, table):
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(n_estimators=5, random_state=0)
    path = save_estimator(model.fit(FRAME.to_numpy(), FRAME["age"]), "skops")
    with pytest.raises(ParameterError, match=r"skops does not know: sklearn\.tree\._tree\.Tree"):
        inspect(path, {})
    with pytest.raises(ParameterError, match="trained without names"):
        inspect(path, {"trusted": True})
    opts = {"feature_columns": ",".join(FRAME), "trusted": True}
    outcome = predict_file(path, table, opts, key_column="id")
    np.testing.assert_allclose(column(outcome), model.predict(FRAME.to_numpy()), rtol=1e-12)


def test_scikit_learn_of_numbers_and_texts(predict_file, save_estimator, tmp_path):
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = FRAME.assign(city=["Ulm", "Bonn"] * 100, id=[f"r{n}" for n in range(len(FRAME))])
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["age"]), ("t", OneHotEncoder(), ["city"])]
    )
    model = make_pipeline(columns, LogisticRegression())
    path = save_estimator(model.fit(frame[["age", "city"]], TARGET), "skops")
    frame.to_csv(tmp_path / "in.csv", index=False)
    outcome = predict_file(path, tmp_path / "in.csv", {}, key_column="id")
    assert list(column(outcome)) == list(model.predict(frame[["age", "city"]]))


def test_scikit_learn_of_one_text(predict_file, save_estimator, tmp_path):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    texts = ["good film", "bad film", "good food", "bad food"]
    model = make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(texts, ["+", "-", "+", "-"])
    (tmp_path / "in.jsonl").write_text('{"review": "so good"}\n{"review": "a bad day"}\n')
    path = save_estimator(model, "skops")
    rows = predict_file(path, tmp_path / "in.jsonl", {"feature_columns": "review"}).predictions
    assert [row["prediction"] for row in rows] == ["+", "-"]
