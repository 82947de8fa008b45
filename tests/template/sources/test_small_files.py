"""Many small files, read in groups: the same rows as one by one, in few blocks."""

import gzip
import json

import pandas as pd

from template.file_versions import FileVersion
from template.model import BaseModel
from template.needs.columns import Column
from template.sources import Format
from template.sources.joining import JoinedBlocks
from template.sources.small_files import FEWEST_FILES, SmallFilesSplit, group_small_files
from template.sources.splits import FILES_PER_SPLIT, cut_evenly
from template.sources.streams import ReadSettings

ODD_CSV = [
    b"a,b\n1,x\n2,y\n",
    b'a,b\r\n1,"two\nlines"\r\n,\r\n',
    b"\xef\xbb\xbfa,b\n00501,\xc3\xa4\n9007199254740993,n/a\n",
    b"a,b\n1,x\nno number,y\n3,z\n",
    b"a;b\n1,5;x\n",
    b"a,b,c\n1,2,3\n",
    b"b,a\n1,2\n",
    b"a,b\n1,x,too many\n2,y\n",
    b'a,b\n1,"not closed\n2,y\n',
    b"a,b\n1,\xff\n2,y\n",
    b"",
    b"a,b\n",
    b"\xff\xfea\x00",
    gzip.compress(b"a,b\n4,packed\n5,packed\n"),
    gzip.compress(b"a,b\n4,packed\n5,packed\n")[:-9],
    b"a,b\nTrue,1\nFalse,2\n",
]
ODD_JSONL = [
    b'{"a": 1, "b": "x"}\n{"a": null, "b": "y"}\n',
    b'{"a": 1.5, "b": [1, 2]}\n{"a": 2, "b": {"c": 1}}\n',
    b'{"a": 12345678901234567890123, "b": true}\n\n{"b": 1}\n',
    b'[1]\nno JSON\n{"a": 1, "b": "\xc3\xa4"}\n',
    gzip.compress(b'{"a": 1, "b": "packed"}\n'),
    b"",
    b"\xff\xfea\x00",
]


DAYS = ("day=1", "day=x", "day=__HIVE_DEFAULT_PARTITION__")


class Echo(BaseModel):
    """Returns what it gets, and of which types; a row named z fails."""

    def load_model(self, path, **_):
        return object()

    def predict(self, df):
        if "z" in df.astype(str).to_numpy():
            raise ValueError("a z")
        types = [f"{name} {dtype}" for name, dtype in df.dtypes.items()]
        rows = [repr(row) for row in zip(*(column.tolist() for _, column in df.items()))]  # noqa: B905
        return pd.DataFrame({"cells": rows, "types": [types] * len(df)})


class Declared(Echo):
    columns = (Column("a", "number"), Column("b", "text", optional=True))


def predict_both(predict, folder, suffix, odd, **settings):
    """Predict files as groups, and in runs of fewer files, each of which is split separately."""
    half = FEWEST_FILES * 3 // 4
    for number in range(2 * half):
        (folder / f"{'ab'[number // half]}-{number:03}.{suffix}").write_bytes(
            odd[number % len(odd)]
        )
    settings = {"model_class": Echo, "model_path": "none", "batch_size": 10, **settings}
    grouped = predict(folder / f"*.{suffix}", **settings)
    parts = [predict(folder / f"{half}-*.{suffix}", **settings) for half in "ab"]
    rows = sorted(json.dumps(row) for part in parts for row in part.predictions)
    letters = sorted(json.dumps(row) for part in parts for row in part.dead_letters)
    assert rows and letters
    assert sorted(map(json.dumps, grouped.predictions)) == rows
    assert sorted(map(json.dumps, grouped.dead_letters)) == letters
    return grouped


def test_odd_tables_have_the_rows_of_single_files(predict, tmp_path):
    predict_both(predict, tmp_path, "csv", ODD_CSV)


def test_odd_lines_have_the_rows_of_single_files(predict, tmp_path):
    predict_both(predict, tmp_path, "jsonl", ODD_JSONL)


def test_declared_columns_and_folders_and_columns_that_are_passed_through(predict, tmp_path):
    for day in DAYS:
        folder = tmp_path / day
        folder.mkdir()
        for number in range(30):
            (folder / f"{number:02}.csv").write_bytes(ODD_CSV[number % 8])
    settings = {"model_class": Declared, "model_path": "none", "passthrough_columns": ("day", "b")}
    grouped = predict(tmp_path / "*" / "*.csv", **settings)
    parts = [predict(tmp_path / f"{day}*" / "*.csv", **settings) for day in DAYS]
    assert sorted(row["key"] for row in grouped.predictions)[:1] == ["day=1/00.csv#0"]
    rows = {row["key"]: row for part in parts for row in part.predictions}
    assert {row["key"]: row for row in grouped.predictions} == rows
    assert {row["day"] for row in rows.values()} == {"1", "x", None}
    assert rows["day=1/01.csv#0"]["b"] == "two\nlines"
    letters = [json.dumps(letter) for part in parts for letter in part.dead_letters]
    assert sorted(map(json.dumps, grouped.dead_letters)) == sorted(letters)


def test_rows_of_several_files_are_one_block(tmp_path):
    files = []
    for number in range(FEWEST_FILES):
        path = tmp_path / f"{number:02}.csv"
        path.write_text("a,b\n1,x\n2,y\n")
        files.append(FileVersion(path=str(path), size=12, generation="1"))
    settings = ReadSettings(batch_size=100, folder=f"{tmp_path}/")
    joined = JoinedBlocks(100)
    blocks = []
    for group in [SmallFilesSplit(files=tuple(files), format=Format.CSV)]:
        for file in group.open():
            for block in file.read(settings):
                blocks += joined.add(block)
        blocks += joined.close()
    assert [len(block) for block in blocks] == [100, 28]
    assert blocks[0].beside["key"][:3].tolist() == ["00.csv#0", "00.csv#1", "01.csv#0"]
    assert blocks[0].index[3] == f"{files[1].path} row 1"
    assert blocks[0].frame.dtypes.tolist() == ["float64", "object"]


def test_groups_are_even_and_depend_on_the_files_alone():
    for count in (1, 31, 64, 300, 5000, 100_000):
        sizes = [len(group) for group in cut_evenly(range(count))]
        assert sum(sizes) == count
        assert max(sizes) <= FILES_PER_SPLIT
        assert max(sizes) - min(sizes) <= 1
    files = [
        FileVersion(path=f"{number}.csv", size=1 << 20, generation="1") for number in range(64)
    ]
    groups = list(group_small_files(files, Format.CSV))
    assert [len(group.files) for group in groups] == [16] * 4
    assert groups[0].id == next(group_small_files(files, Format.CSV)).id
