"""JSON Lines files: objects, keys and bad lines."""

import gzip

import orjson
import pandas as pd
import pytest

from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.sources import jsonl
from template.sources.streams import ReadSettings
from tests.template.support import join_blocks


@pytest.fixture
def read(tmp_path):
    """Read bytes as a JSON Lines file: (all rows as one frame, dead letters by source)."""

    def run(data, name="t.jsonl", *, key_column=None, batch_size=1000):
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        settings = ReadSettings(batch_size=batch_size, key_column=key_column)
        file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
        blocks, letters = [], []
        for split in jsonl.split_jsonl(file, settings):
            parts = [split] if isinstance(split, DeadLetter) else split.read(settings)
            for part in parts:
                (letters if isinstance(part, DeadLetter) else blocks).append(part)
        return join_blocks(blocks), {
            letter.source.removeprefix(str(path)): letter.error for letter in letters
        }

    return run


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz"])
def test_objects_become_rows(read, name):
    frame, letters = read(b'{"a":1,"b":[1,2]}\n\n{"a":2.5}\r\n{"b":[3],"a":null}', name)
    assert letters == {}
    assert frame["key"].tolist() == [f"{name}#{row}" for row in range(3)]
    assert frame["a"].tolist()[:2] == [1, 2.5]
    assert frame["b"].iloc[0] == [1, 2]
    assert pd.isna(frame["b"].iloc[1])
    assert pd.isna(frame["a"].iloc[2])


def test_lines_that_are_no_objects_are_dead_letters(read):
    frame, letters = read(b'{"a":1}\n[1]\nnonsense\n{"a":\xff}\n{"a":2}\n', batch_size=2)
    assert frame["a"].tolist() == [1, 2]
    assert frame.index.tolist() == [0, 4]
    assert list(letters) == [" row 1", " row 2", " row 3"]
    assert letters[" row 1"] == "ValueError: a JSON list, not an object"
    assert letters[" row 2"].startswith("ValueError: not JSON:")


def test_key_column(read):
    frame, letters = read(b'{"id":7}\n{"id":""}\n{}\n{"id":"x"}\n', key_column="id")
    assert frame["key"].tolist() == ["7", "x"]
    assert list(letters) == [" row 1", " row 2"]
    frame, _ = read(b'{"key":"k","a":1}\n', key_column="key")
    assert frame.to_dict("records") == [{"key": "k", "a": 1}]
    assert list(read(b'{"id":7,"a":1}\n', key_column="id")[0].columns) == ["key", "a"]


def test_a_field_that_is_named_key_is_a_column(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"key":"x","a":1}\n{}\n')
    file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
    settings = ReadSettings(batch_size=1)
    (split,) = jsonl.split_jsonl(file, settings)
    first, empty = split.read(settings)
    assert first.frame.to_dict("records") == [{"key": "x", "a": 1}]
    assert first.beside["key"].tolist() == ["t.jsonl#0"]
    assert (len(empty), empty.frame.shape) == (1, (1, 0))


def test_a_big_file_is_split(tmp_path):
    path = tmp_path / "big.jsonl"
    rows = 200_000
    path.write_bytes(
        b"".join(orjson.dumps({"a": row, "text": "x" * 60}) + b"\n" for row in range(rows))
    )
    settings = ReadSettings(batch_size=5000)
    file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
    splits = list(jsonl.split_jsonl(file, settings))
    assert len(splits) > 1
    frame = join_blocks([block for split in splits for block in split.read(settings)])
    assert frame["a"].tolist() == list(range(rows)) == frame.index.tolist()


def test_images_as_pixel_lists(predict, images, expected, tmp_path):
    array = images(8)
    path = tmp_path / "fashion.jsonl"
    path.write_bytes(
        b"".join(orjson.dumps({"image": image.tolist()}) + b"\n" for image in array)
        + b'{"image":[1,2]}\n{"image":"x"}\n{"other":1}\n'
    )
    outcome = predict(path)
    rows = outcome.by_key()
    assert [rows[f"fashion.jsonl#{row}"]["class_index"] for row in range(8)] == [
        index for index, _ in expected(array)
    ]
    assert [letter["key"][-2:] for letter in outcome.dead_letters] == ["#8", "#9", "10"]
    assert "image of shape (2,)" in outcome.dead_letters[0]["error"]
