"""Parquet files: row groups, keys, nested columns and damage."""

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.sources import parquet
from template.sources.streams import ReadSettings, UnreadableError
from tests.template.support import join_blocks


def read(path, *, key_column=None, batch_size=1000):
    settings = ReadSettings(batch_size=batch_size, key_column=key_column)
    file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
    splits = list(parquet.split_parquet(file, settings))
    parts = [part for split in splits for part in split.read(settings)]
    blocks = [part for part in parts if not isinstance(part, DeadLetter)]
    letters = [part for part in parts if isinstance(part, DeadLetter)]
    return splits, blocks, letters


def test_a_split_is_a_run_of_row_groups(tmp_path):
    path = tmp_path / "t.parquet"
    rows = 3 * parquet.ROWS_PER_SPLIT + 7
    pq.write_table(pa.table({"a": range(rows)}), path, row_group_size=parquet.ROWS_PER_SPLIT // 4)
    splits, blocks, letters = read(path)
    assert [split.rows for split in splits] == [parquet.ROWS_PER_SPLIT] * 3 + [7]
    assert max(map(len, blocks)) <= 1000
    frame = join_blocks(blocks)
    assert frame["a"].tolist() == list(range(rows)) == frame.index.tolist()
    assert frame["key"].iloc[-1] == f"t.parquet#{rows - 1}"
    assert letters == []


def test_nested_lists_reach_the_model_as_arrays(predict, images, expected, tmp_path):
    array = images(30)
    path = tmp_path / "fashion.parquet"
    flat = pa.array(list(array.reshape(30, 784)))
    pq.write_table(pa.table({"image": flat}), path, row_group_size=8)
    rows = predict(path).by_key()
    assert [rows[f"fashion.parquet#{row}"]["class_index"] for row in range(30)] == [
        index for index, _ in expected(array)
    ]


def test_key_column(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": pa.array([7, None, 9]), "a": [1.0, 2.0, 3.0]}), path)
    _, (block,), (letter,) = read(path, key_column="id")
    assert block.beside["key"].tolist() == ["7", "9"]
    assert block.frame.to_dict("list") == {"a": [1.0, 3.0]}
    assert letter.source == f"{path} row 1"
    assert "no value in the key column 'id'" in letter.error
    with pytest.raises(UnreadableError, match="no key column 'x'; its columns: id, a"):
        read(path, key_column="x")


@pytest.mark.parametrize("key_column", ["a", None])
def test_columns_of_one_name_are_refused(tmp_path, key_column):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), path)
    with pytest.raises(UnreadableError, match="several columns 'a'"):
        read(path, key_column=key_column)


def test_names_and_texts_that_are_not_utf8(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"name": ["text"] * 3}), path, compression="none")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"name", b"n\xffme"))
    with pytest.raises(UnreadableError, match=r"not a readable Parquet file: .*0xff"):
        read(path)
    path.write_bytes(data.replace(b"text", b"t\xffxt"))
    _, blocks, letters = read(path)
    assert blocks == []
    assert [letter.source for letter in letters] == [f"{path} row {row}" for row in range(3)]
    assert letters[0].error == r"ValueError: column 'name': b't\xffxt' is not UTF-8"
    assert orjson.dumps(letters[0].to_json())


@pytest.mark.parametrize(("key_column", "keys"), [(None, "t.parquet#{}"), ("id", "k{}")])
def test_a_text_that_is_not_utf8_costs_its_row_alone(tmp_path, key_column, keys):
    path = tmp_path / "t.parquet"
    texts = pa.array([b"\xff" if row in (3, 8) else b"text" for row in range(10)]).view(pa.string())
    ids = [f"k{row}" for row in range(10)]
    pq.write_table(pa.table({"id": ids, "text": texts}), path)
    _, blocks, letters = read(path, key_column=key_column, batch_size=6)
    assert sorted(join_blocks(blocks).index) == [0, 1, 2, 4, 5, 6, 7, 9]
    assert [(letter.key, letter.source) for letter in letters] == [
        (keys.format(row), f"{path} row {row}") for row in (3, 8)
    ]


def test_a_key_of_bytes_that_are_no_text_costs_its_row_alone(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": [b"a", b"\xff", None, b"d"], "n": [0, 1, 2, 3]}), path)
    _, (block,), letters = read(path, key_column="id")
    assert (block.beside["key"].tolist(), block.frame["n"].tolist()) == (["a", "d"], [0, 3])
    assert {letter.key: letter.error for letter in letters} == {
        "t.parquet#1": r"ValueError: key column 'id': b'\xff' is not UTF-8",
        "t.parquet#2": "ValueError: no value in the key column 'id'",
    }


def test_a_key_column_of_lists_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": [[1]]}), path)
    with pytest.raises(UnreadableError, match=r"key column 'id' is of type list<.*name a column"):
        read(path, key_column="id")


def test_a_pandas_index_is_a_column(tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"key": ["x", "y"], "a": [1, 2]}).set_index("key").to_parquet(path)
    _, blocks, _ = read(path, key_column="key")
    assert join_blocks(blocks).to_dict("records") == [{"key": "x", "a": 1}, {"key": "y", "a": 2}]


def damage(path, row_group):
    """Overwrite the first data page of a row group."""
    start = pq.ParquetFile(path).metadata.row_group(row_group).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)


def test_damage_costs_its_row_group_and_nothing_else(predict, tmp_path):
    path = tmp_path / "t.parquet"
    values = np.random.default_rng(1).random(5000)
    pq.write_table(pa.table({"a": values}), path, row_group_size=700, use_dictionary=False)
    damage(path, 2)
    (split,), blocks, (letter,) = read(path)
    assert split.row_groups == tuple(range(8))
    assert letter.source == f"{path} rows 1400-2099"
    assert "rows 1400 to 2099 cannot be read: " in letter.error
    frame = join_blocks(blocks)
    assert frame.index.tolist() == [*range(1400), *range(2100, 5000)]
    assert frame["a"].tolist() == [*values[:1400], *values[2100:]]
    (tmp_path / "text.parquet").write_bytes(b"this is no parquet")
    (letter,) = predict(tmp_path / "text.parquet").dead_letters
    assert "not a readable Parquet file" in letter["error"]
    assert letter["source"] == str(tmp_path / "text.parquet")
