"""Folders that a wildcard matches, as columns."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from template.model import BaseModel
from template.sources.folders import find_folder_columns
from template.sources.streams import ReadSettings, UnreadableError

SETTINGS = ReadSettings(batch_size=1, folder="gs://b/data/")


@pytest.mark.parametrize(
    ("path", "columns"),
    [
        ("gs://b/data/day=2026-11-29/hour=07/a.csv", {"day": "2026-11-29", "hour": "07"}),
        ("gs://b/data/a=1.csv", {}),
        ("gs://b/data/x/y/a.csv", {}),
        ("gs://b/data/at=10%3A30/a=b=c/f", {"at": "10:30", "a": "b=c"}),
        ("gs://b/data/day=__HIVE_DEFAULT_PARTITION__/f", {"day": None}),
        ("gs://b/data/=x/f", {}),
    ],
)
def test_named_folders_are_columns(path, columns):
    assert find_folder_columns(path, SETTINGS) == columns


def test_a_folder_that_the_pattern_names_is_not_a_column():
    settings = ReadSettings(batch_size=1, folder="gs://b/data/day=1/")
    assert find_folder_columns("gs://b/data/day=1/hour=2/a.csv", settings) == {"hour": "2"}


def test_one_name_twice_is_refused():
    with pytest.raises(UnreadableError, match=r"two of its folders are 'a=\.\.\.'"):
        find_folder_columns("gs://b/data/a=1/a=2/f", SETTINGS)


class Echo(BaseModel):
    """Returns what predict gets."""

    def load_model(self, path, **opts):
        return "no model"

    def predict(self, df):
        columns = {f"got {name}": df[name] for name in df if name != "image"}
        return pd.DataFrame({"columns": [",".join(df)] * len(df), **columns})


def write(path, suffix):
    path.parent.mkdir(parents=True)
    frame = pd.DataFrame({"a": [1, 2]})
    if suffix == "png":
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)
    elif suffix == "idx3-ubyte":
        path.write_bytes(b"\0\0\x08\x03" + b"\0\0\0\1" * 3 + b"\7")
    elif suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif suffix == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "png", "idx3-ubyte"])
def test_folders_reach_the_model_and_the_output(predict, tmp_path, suffix):
    for day in ("01", "02"):
        write(tmp_path / "in" / f"day={day}" / "shop=x%20y" / f"part.{suffix}", suffix)
    outcome = predict(
        tmp_path / "in" / "day=*" / "*" / "*", model_class=Echo, passthrough_columns=("day",)
    )
    own = "image" if suffix in ("png", "idx3-ubyte") else "a"
    assert outcome.dead_letters == []
    assert {row["columns"] for row in outcome.predictions} == {f"{own},day,shop"}
    assert {row["got shop"] for row in outcome.predictions} == {"x y"}
    for row in outcome.predictions:
        assert row["day"] == row["got day"]
        assert f"day={row['day']}/" in row["key"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "png", "idx3-ubyte"])
def test_a_column_of_the_file_and_of_a_folder_is_refused(predict, tmp_path, suffix):
    own = "image" if suffix in ("png", "idx3-ubyte") else "a"
    write(tmp_path / "in" / f"{own}=7" / f"part.{suffix}", suffix)
    outcome = predict(tmp_path / "in" / "*" / "*", model_class=Echo)
    assert outcome.predictions == []
    for letter in outcome.dead_letters:
        assert f"column '{own}' is in it, and its folder '{own}=...' is" in letter["error"]


def test_column_types_make_numbers_of_folders(predict, tmp_path):
    for day in ("01", "x", "__HIVE_DEFAULT_PARTITION__"):
        write(tmp_path / "in" / f"day={day}" / "part.csv", "csv")
    outcome = predict(
        tmp_path / "in" / "day=*" / "*",
        model_class=Echo,
        column_types={"day": "number", "a": "text"},
        passthrough_columns=("day",),
    )
    rows = {(row["day"], row["got day"], row["got a"]) for row in outcome.predictions}
    assert rows == {("01", 1.0, "1"), ("01", 1.0, "2"), (None, None, "1"), (None, None, "2")}
    (letter,) = outcome.dead_letters
    assert "'day=x' is not a number that float64 holds exactly" in letter["error"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "png", "idx3-ubyte"])
def test_column_types_are_for_csv_and_folders_alone(predict, tmp_path, suffix):
    path = tmp_path / "in" / "day=1" / f"part.{suffix}"
    write(path, suffix)
    pattern = tmp_path / "in" / "day=*" / "*"
    types = {"day": "number"}
    rows = predict(pattern, model_class=Echo, column_types=types).predictions
    assert {row["got day"] for row in rows} == {1.0}
    outcome = predict(pattern, model_class=Echo, column_types={**types, "a": "text"})
    assert outcome.predictions == []
    (letter,) = outcome.dead_letters
    assert letter["key"] is None
    assert letter["source"] == str(path)
    assert "column_types names 'a', but a" in letter["error"]
