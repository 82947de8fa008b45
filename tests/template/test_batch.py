"""The batch pipeline with a user's own model, and its output formats."""

import csv

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from template.model import BaseModel


class HousePrice(BaseModel):
    """A tabular model: a linear layer over two columns."""

    def load_model(self, path, **opts):
        layer = torch.nn.Linear(2, 1)
        layer.load_state_dict(torch.load(path, weights_only=True))
        return layer.to(self.device).eval()

    def predict(self, df):
        features = torch.tensor(df[["rooms", "area"]].to_numpy(float), dtype=torch.float32)
        if not features.isfinite().all():
            raise ValueError("rooms or area is missing")
        with torch.inference_mode():
            return self.ensure_model()(features.to(self.device)).squeeze(1)


HOUSES = pd.DataFrame(
    {"id": ["a", "b", "c", "d"], "rooms": [3, 4, None, 2], "area": [70.5, 90, 40, 55]}
)


@pytest.fixture
def house_weights(tmp_path):
    """price = 10 rooms + 2 area + 1"""
    state = {"weight": torch.tensor([[10.0, 2.0]]), "bias": torch.tensor([1.0])}
    torch.save(state, tmp_path / "houses.pth")
    return str(tmp_path / "houses.pth")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_tabular_model(predict, house_weights, tmp_path, suffix):
    path = tmp_path / f"houses.{suffix}"
    if suffix == "csv":
        HOUSES.to_csv(path, index=False)
    else:
        HOUSES.to_parquet(path)
    outcome = predict(path, key_column="id", model_class=HousePrice, model_path=house_weights)
    assert {key: row["prediction"] for key, row in outcome.by_key().items()} == {
        "a": 172.0,
        "b": 221.0,
        "d": 131.0,
    }
    assert outcome.dead_letters == [
        {
            "key": "c",
            "error": "ValueError: rooms or area is missing",
            "source": f"{path} row 2",
        }
    ]
    assert outcome.counters == {"rows_read": 4, "predictions": 3, "dead_letters": 1}


class Colour(BaseModel):
    """Looks integers up, and cannot handle floats."""

    def load_model(self, path, **opts):
        return torch.tensor([0.0, 1.5, 2.5])

    def predict(self, df):
        return self.ensure_model()[torch.tensor(df["colour"].to_numpy())]


@pytest.mark.parametrize("batch_size", [1, 10])
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_missing_integer_costs_one_row(predict, tmp_path, suffix, batch_size):
    path = tmp_path / f"t.{suffix}"
    colours = [1, 2, None, 0, 1]
    if suffix == "jsonl":
        lines = [f'{{"colour":{colour}}}\n' if colour is not None else "{}\n" for colour in colours]
        path.write_text("".join(lines) + '{"colour":null}\n')
    else:
        pq.write_table(pa.table({"colour": [*colours, None]}), path)
    outcome = predict(path, model_class=Colour, batch_size=batch_size)
    found = {key: row["prediction"] for key, row in outcome.by_key().items()}
    assert found == {
        f"t.{suffix}#{row}": value for row, value in ((0, 1.5), (1, 2.5), (3, 0.0), (4, 1.5))
    }
    assert {letter["key"][-2:] for letter in outcome.dead_letters} == {"#2", "#5"}


def test_missing_columns_are_dead_letters(predict, house_weights, tmp_path):
    path = tmp_path / "houses.csv"
    HOUSES.drop(columns="area").to_csv(path, index=False)
    outcome = predict(path, model_class=HousePrice, model_path=house_weights)
    assert len(outcome.dead_letters) == 4
    assert "area" in outcome.dead_letters[0]["error"]


def test_csv_and_parquet_output(predict, write_idx, images, expected, tmp_path):
    path = write_idx(images(10))
    indices = [index for index, _ in expected(images(10))]
    assert predict(path, output_format="parquet", batch_size=4).files == [
        "result-00000-of-00001.parquet"
    ]
    table = pq.read_table(tmp_path / "out" / "result-00000-of-00001.parquet")
    assert table.schema.names == ["key", "class_index", "class_name", "score"]
    assert table["class_index"].to_pylist() == indices
    predict(path, output_format="csv", batch_size=4)
    with (tmp_path / "out" / "result-00000-of-00001.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["class_index"]) for row in rows] == indices
    assert list(rows[0]) == ["key", "class_index", "class_name", "score"]


class Linear(BaseModel):
    """Only ``load_model``: its object predicts DataFrames as scikit-learn's models do."""

    def load_model(self, path, **opts):
        return SumOfNumbers()


class SumOfNumbers:
    """Checks its argument as scikit-learn does: columns by name and order, and only numbers."""

    feature_names_in_ = ("age", "visits")

    def predict(self, X):
        if list(X.columns) != list(self.feature_names_in_):
            raise ValueError(f"The feature names should match, not {list(X.columns)}")
        return X.to_numpy(dtype=float).sum(axis=1)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("key_column", [None, "id", "key"])
def test_predict_gets_the_columns_of_the_input_and_nothing_else(
    predict, tmp_path, suffix, key_column
):
    frame = pd.DataFrame({"age": [36.0, 51.0], "visits": [4.0, 0.0]})
    if key_column:
        frame.insert(1, key_column, ["ada", "eve"])
    path = tmp_path / f"t.{suffix}"
    write_table(frame, path)
    rows = predict(path, model_class=Linear, key_column=key_column).by_key()
    keys = ["ada", "eve"] if key_column else [f"t.{suffix}#0", f"t.{suffix}#1"]
    assert rows == {key: {"key": key, "0": total} for key, total in zip(keys, [40, 51])}  # noqa: B905


def write_table(frame, path):
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)


class Echo(BaseModel):
    """Returns the input's columns and one more."""

    def load_model(self, path, **opts):
        return True

    def predict(self, df):
        return df.assign(p=1)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_model_may_return_input_columns(predict, tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    write_table(pd.DataFrame({"id": ["x", "y"], "a": [1.5, 2.5]}), path)
    rows = predict(path, model_class=Echo, key_column="id").by_key()
    assert rows == {"x": {"key": "x", "a": 1.5, "p": 1}, "y": {"key": "y", "a": 2.5, "p": 1}}


def test_an_input_column_named_key_costs_only_the_rows_for_which_it_is_returned(predict, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"a":1}\n{"a":2,"key":"k"}\n{"a":3}\n')
    outcome = predict(path, model_class=Echo, batch_size=1)
    assert {key: row["a"] for key, row in outcome.by_key().items()} == {
        "t.jsonl#0": 1,
        "t.jsonl#2": 3,
    }
    (letter,) = outcome.dead_letters
    assert letter["key"] == "t.jsonl#1"
    assert "predict returned a column 'key' that already exists" in letter["error"]
