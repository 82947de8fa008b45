"""Input columns written beside the prediction, as they were read."""

import csv
import datetime
import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from template.model import BaseModel


class Spoiler(BaseModel):
    """Changes everything that it gets."""

    def load_model(self, path, **opts):
        return True

    def predict(self, df):
        for name in df.columns:
            for cell in df[name]:
                if isinstance(cell, list):
                    cell.append("spoilt")
                if isinstance(cell, dict):
                    cell.clear()
                if isinstance(cell, np.ndarray):
                    cell.fill(7)
            df[name] = None
        return [1] * len(df)


@pytest.fixture
def run(predict, tmp_path):
    """Predict a file; return the rows as in the output format."""

    def run(path, output_format="jsonl", **settings):
        outcome = predict(path, model_class=Spoiler, output_format=output_format, **settings)
        if output_format == "jsonl":
            return outcome.predictions
        (file,) = (tmp_path / "out").glob(f"*.{output_format}")
        if output_format == "csv":
            with file.open(newline="") as stream:
                return list(csv.DictReader(stream))
        return pq.read_table(file)

    return run


CSV = 'zip,n,note,id\n00501,1234567890123456789,"a, ""b""",x\n9.10,1e3,,y\n,-0,"",z\n'


def test_a_csv_field_is_its_text(run, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    settings = {"passthrough_columns": ("n", "zip", "note", "id"), "key_column": "id"}
    rows = run(path, **settings)
    assert [list(row) for row in rows] == [["key", "n", "zip", "note", "id", "prediction"]] * 3
    assert [row["zip"] for row in rows] == ["00501", "9.10", None]
    assert [row["n"] for row in rows] == ["1234567890123456789", "1e3", "-0"]
    assert [row["note"] for row in rows] == ['a, "b"', None, ""]
    assert [row["id"] for row in rows] == [row["key"] for row in rows] == ["x", "y", "z"]
    assert [row["zip"] for row in run(path, "csv", **settings)] == ["00501", "9.10", ""]
    table = run(path, "parquet", **settings)
    assert table["n"].to_pylist() == ["1234567890123456789", "1e3", "-0"]
    assert table.schema.field("zip").type == pa.string()


def test_csv_rows_that_are_dead_letters_shift_nothing(predict, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,p\nbad,q\n3,r\n4\n5,s\n")
    outcome = predict(path, model_class=Spoiler, passthrough_columns=("a", "b"), batch_size=2)
    found = {key: (row["a"], row["b"]) for key, row in outcome.by_key().items()}
    assert found == {
        "t.csv#0": ("1", "p"),
        "t.csv#1": ("bad", "q"),
        "t.csv#2": ("3", "r"),
        "t.csv#4": ("5", "s"),
    }


FAR = datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC)
PARQUET = {
    "n": pa.array([1234567890123456789, None]),
    "u": pa.array([2**64 - 1, None], pa.uint64()),
    "price": pa.array([Decimal("12.50"), None]),
    "raw": pa.array([b"\xff\x00", None]),
    "day": pa.array([datetime.date(2026, 1, 2), None]),
    "at": pa.array(
        [datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC), None], pa.timestamp("us", "UTC")
    ),
    "tags": pa.array([[1, None], None], pa.list_(pa.int32())),
    "place": pa.array([{"x": 1}, None]),
    "word": pa.array(["w", None]).dictionary_encode(),
    "flag": pa.array([True, None]),
}


def test_a_parquet_value_keeps_its_type(run, tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(PARQUET), path)
    settings = {"passthrough_columns": tuple(PARQUET)}
    table = run(path, "parquet", **settings)
    assert {name: table.schema.field(name).type for name in PARQUET} == {
        name: cells.type for name, cells in PARQUET.items()
    }
    for name, cells in PARQUET.items():
        assert table[name].to_pylist() == cells.to_pylist()
    first, second = run(path, **settings)
    assert {name: first[name] for name in PARQUET} == {
        "n": 1234567890123456789,
        "u": 2**64 - 1,
        "price": 12.5,
        "raw": "/wA=",
        "day": "2026-01-02",
        "at": "9999-01-01T00:00:00+00:00",
        "tags": [1, None],
        "place": {"x": 1},
        "word": "w",
        "flag": True,
    }
    assert {second[name] for name in PARQUET} == {None}
    text = (tmp_path / "out" / "result-00000-of-00001.jsonl").read_text()
    assert '"price":12.50,' in text
    first, second = run(path, "csv", **settings)
    assert (first["n"], first["price"], first["raw"]) == ("1234567890123456789", "12.50", "/wA=")
    assert (first["at"], first["tags"]) == ("9999-01-01T00:00:00+00:00", "[1,null]")
    assert {second[name] for name in PARQUET} == {""}


def test_a_json_value_is_its_own(run, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"v":[1,{"a":2}],"n":1234567890123456789,"z":"00501"}\n'
        '{"v":{"b":[3]},"n":-12345678901234567890123456789,"z":null}\n'
        '{"v":1.0,"n":18446744073709551615,"z":true}\n'
    )
    rows = run(path, passthrough_columns=("v", "n", "z"))
    assert [row["v"] for row in rows] == [[1, {"a": 2}], {"b": [3]}, 1.0]
    assert [row["n"] for row in rows] == [
        1234567890123456789,
        -12345678901234567890123456789,
        18446744073709551615,
    ]
    assert [row["z"] for row in rows] == ["00501", None, True]


def test_an_image_is_passed_through_as_it_was_read(run, write_idx, images):
    rows = run(write_idx(images(2)), passthrough_columns=("image",))
    assert [row["image"] for row in rows] == images(2).tolist()


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.csv", b"a,b\n1,2\n"), ("t.csv.gz", None), ("t.jsonl", b'{"a":1,"b":2}\n')],
)
def test_a_name_that_does_not_exist_lists_the_columns(predict, tmp_path, name, content):
    import gzip

    path = tmp_path / name
    path.write_bytes(content or gzip.compress(b"a,b\n1,2\n"))
    outcome = predict(path, model_class=Spoiler, passthrough_columns=("zip",))
    (letter,) = outcome.dead_letters
    assert letter["error"] == (
        "UnreadableError: no column 'zip', which passthrough_columns names; its columns: a, b"
    )


def test_images_have_one_column(predict, write_idx, images, tmp_path):
    from PIL import Image

    write_idx(images(1), "x-idx3-ubyte")
    Image.fromarray(images(1)[0]).save(tmp_path / "x.png")
    outcome = predict(tmp_path / "x*", model_class=Spoiler, passthrough_columns=("label",))
    assert {letter["source"] for letter in outcome.dead_letters} == {
        str(tmp_path / "x-idx3-ubyte"),
        str(tmp_path / "x.png"),
    }
    assert {letter["error"].partition("; ")[2] for letter in outcome.dead_letters} == {
        "its columns: image"
    }


def test_a_column_that_predict_returns_as_well_is_a_collision(predict, tmp_path):
    class Echo(Spoiler):
        def predict(self, df):
            return df

    path = tmp_path / "t.csv"
    path.write_text("zip,a\n00501,1\n")
    outcome = predict(path, model_class=Echo, passthrough_columns=("zip",))
    (letter,) = outcome.dead_letters
    assert json.dumps(letter["error"]).count("a column 'zip' that already exists, because") == 1
    assert "key, zip are written beside the prediction" in letter["error"]


def test_a_key_of_many_digits_is_exact(predict, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"id":12345678901234567890123,"a":1}\n{"id":1234567890123456789,"a":1}\n')
    outcome = predict(path, model_class=Spoiler, key_column="id")
    assert set(outcome.by_key()) == {"12345678901234567890123", "1234567890123456789"}
