"""The batch pipeline with a user's own model, its output formats, and how it is launched."""

import ast
import csv
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from template.model import BaseModel
from template.pipeline import run

PROJECT = Path(__file__).parents[2]


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
    """Looks integers up, and can do nothing with floats."""

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
    assert [letter["key"][-2:] for letter in outcome.dead_letters] == ["#2", "#5"]


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


def test_run_waits_and_returns_zero(write_idx, images, weights, tmp_path):
    output = tmp_path / "out" / "p"
    flags = [f"--input={write_idx(images(5))}", f"--output={output}", f"--model_path={weights}"]
    assert run(["--runner=FnApiRunner", "--device=cpu", *flags]) == 0
    (file,) = output.parent.iterdir()
    assert len(file.read_text().splitlines()) == 5


def test_mistakes_are_told_in_a_line_each(tmp_path, capsys):
    weights = tmp_path / "w.pth"
    flags = [f"--output={tmp_path}/p", f"--model_path={weights}"]
    assert run([f"--input={tmp_path}/none.csv", *flags]) == 2
    assert run([f"--input={tmp_path}/none.csv", *flags, "--bach_size=3"]) == 2
    assert run(flags) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"--input '{tmp_path}/none.csv'",
        "--bach_size",
        "--input",
    ]


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=PROJECT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )


def test_the_entry_file_shows_no_trace_for_a_mistake(tmp_path):
    done = python("-m", "template.main", "--ouput=x")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "--ouput: no such parameter; did you mean 'output'?"
    assert "Traceback" not in done.stderr


def test_the_entry_file_defines_nothing():
    (_, _, _, last) = body = ast.parse((PROJECT / "template" / "main.py").read_text()).body
    assert [type(statement) for statement in body] == [ast.Expr, ast.Import, ast.ImportFrom, ast.If]
    assert ast.unparse(last) == "if __name__ == '__main__':\n    sys.exit(run(sys.argv[1:]))"
