"""JSON Lines files: objects, keys and bad lines."""

import gzip
import json
import random
import time

import orjson
import pandas as pd
import pytest

from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.needs.columns import Column
from template.sources import jsonl
from template.sources.streams import ReadSettings, UnreadableError
from tests.template.support import join_blocks


@pytest.fixture
def read_parts(tmp_path):
    """Read bytes as a JSON Lines file: (blocks, dead letters by source)."""

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
        return blocks, {letter.source.removeprefix(str(path)): letter.error for letter in letters}

    return run


@pytest.fixture
def read(read_parts):
    """Read bytes as a JSON Lines file: (all rows as one frame, dead letters by source)."""

    def run(*args, **settings):
        blocks, letters = read_parts(*args, **settings)
        return join_blocks(blocks), letters

    return run


@pytest.fixture
def read_blocks(read_parts):
    """Read bytes as a JSON Lines file without dead letters."""

    def run(*args, **settings):
        blocks, letters = read_parts(*args, **settings)
        assert letters == {}
        return blocks

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


@pytest.mark.parametrize(
    "settings",
    [{"passthrough_columns": ("a",)}, {"columns": (Column("a", "number"),)}],
    ids=["passed", "declared"],
)
def test_a_line_without_a_needed_field_keeps_its_key(tmp_path, settings):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"id":"x"}\n{"id":"y","a":1}\n')
    file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
    settings = ReadSettings(batch_size=9, key_column="id", **settings)
    (split,) = jsonl.split_jsonl(file, settings)
    letter, block = split.read(settings)
    assert letter.key == "x"
    assert block.beside["key"].tolist() == ["y"]


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


def test_integers_are_exact_whatever_is_beside_them(read_blocks):
    cells = [9007199254740993, None, 2.5, 7, 18446744073709551615, -9223372036854775809, 2**70, "x"]
    data = b"".join(b'{"a":%b}\n' % json.dumps(cell).encode() for cell in cells)
    blocks = {str(block.frame["a"].dtype): block for block in read_blocks(data)[::-1]}
    assert blocks["int64"].frame["a"].tolist() == [9007199254740993, 7]
    assert blocks["uint64"].frame["a"].tolist() == [18446744073709551615]
    assert blocks["float64"].frame["a"].tolist() == [2.5]
    found = [cell for block in read_blocks(data) for cell in block.frame["a"].tolist()]
    assert set(found) == set(cells)
    assert [type(cell) for cell in found if cell == 7] == [int]


def test_integers_in_lists_and_objects_are_exact(read_blocks):
    data = (
        b'{"a":[9007199254740993,null,123123123123123123123123],"b":{"c":[18446744073709551616]}}'
    )
    (block,) = read_blocks(data)
    assert block.frame["a"].tolist() == [[9007199254740993, None, 123123123123123123123123]]
    assert block.frame["b"].tolist() == [{"c": [18446744073709551616]}]


def test_long_keys_keep_their_digits(read):
    data = b'{"id":123123123123123123123123}\n{"id":123123123123123123123124}\n'
    assert read(data, key_column="id")[0]["key"].tolist() == [
        "123123123123123123123123",
        "123123123123123123123124",
    ]
    data = b'{"id":[123123123123123123123123,{"a":1}]}\n{"id":1.5}\n{"id":true}\n'
    assert read(data, key_column="id")[0]["key"].tolist() == [
        '[123123123123123123123123,{"a":1}]',
        "1.5",
        "true",
    ]


def test_a_row_is_the_same_in_every_block_size(read_blocks):
    cells = [1, None, 2.5, "x", True, 2**60 + 1, [1], None, 3, False]
    data = b"".join(
        b'{"a":%b,"b":%d}\n' % (json.dumps(cells[i % 10]).encode(), i) for i in range(60)
    )

    def rows(batch_size):
        return {
            block.index[position]: repr(cell) if cell is not None and cell == cell else None
            for block in read_blocks(data, batch_size=batch_size)
            for position, cell in enumerate(block.frame["a"].tolist())
        }

    assert rows(1) == rows(7) == rows(1000)


def test_many_columns_of_integers_with_gaps_share_blocks(read_blocks):
    generator = random.Random(5)
    rows = [
        {f"c{n}": None if generator.random() < 0.5 else n * row for n in range(12)}
        for row in range(-5, 400)
    ]
    blocks = read_blocks(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    assert len(blocks) <= 32
    for block in blocks:
        for position, row in enumerate(block.index):
            for name, cell in rows[row].items():
                value = block.frame[name].iloc[position]
                assert pd.isna(value) if cell is None else int(value) == cell


def test_rows_of_one_shape_share_a_block(read_blocks):
    data = b'{"a":1,"b":2}\n{"a":3}\n{"b":4,"a":5}\n{}\n{"a":6}\n{}\n'
    found = [(list(block.frame.columns), block.index.tolist()) for block in read_blocks(data)]
    assert found == [(["a", "b"], [0, 2]), (["a"], [1, 4]), ([], [3, 5])]


def test_rows_that_each_have_other_fields_take_linear_time(read_blocks):
    data = b"".join(
        orjson.dumps({f"f{row}_{n}": n for n in range(100)}) + b"\n" for row in range(1024)
    )
    started = time.process_time()
    blocks = read_blocks(data)
    assert time.process_time() - started < 10
    assert sorted(block.index[0] for block in blocks) == list(range(1024))
    assert {len(block.frame.columns) for block in blocks} == {100}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a":NaN}', "not JSON: NaN is not a number in JSON; write null, or a text"),
        (b'{"a":[1,-Infinity]}', "not JSON: -Infinity is not a number in JSON"),
        (b'{"a":1e400}', "not JSON: number is infinity when parsed as double"),
        (b'{"a":"NaN"', "not JSON: "),
        (b'{"a":' + b"[" * 300 + b"]" * 300 + b"}", "a value is nested more than 250 deep"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "a value is nested more than 250 deep"),
        (b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}", "not JSON: "),
        (b'{"n":%b,"a":%b}' % (b"9" * 25, b"[" * 2000 + b"]" * 2000), "not JSON: nested too deep"),
    ],
    ids=["NaN", "Infinity", "1e400", "cut", "300 lists", "300 objects", "2000", "long and deep"],
)
@pytest.mark.parametrize("key_column", [None, "a"])
def test_a_line_that_cannot_be_used_is_one_dead_letter(read, line, reason, key_column):
    frame, letters = read(b'{"a":1}\n' + line + b'\n{"a":2}\n', key_column=key_column)
    assert len(frame) == 2
    assert letters[" row 1"].startswith(f"ValueError: {reason}")


def test_blank_lines_are_not_rows(read):
    frame, letters = read(b'\xef\xbb\xbf{"a":1}\n  \n\t\r\n\n{"a":2}\n   ')
    assert letters == {}
    assert frame["key"].tolist() == ["t.jsonl#0", "t.jsonl#1"]


def test_what_is_not_text_is_refused_by_name(read):
    with pytest.raises(UnreadableError, match="encoded in UTF-16: save it as UTF-8"):
        read('{"a":1}\n'.encode("utf-16"))
