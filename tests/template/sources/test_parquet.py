"""Parquet files: row groups, keys, nested columns and damage."""

import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from template.file_versions import FileVersion
from template.sources import parquet
from template.sources.streams import ReadSettings, UnreadableError
from tests.template.sources.parquet_files import in_lists, read, view
from tests.template.support import join_blocks


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


@pytest.mark.parametrize(
    ("group_rows", "parts"),
    [
        (parquet.ROWS_PER_PART, [parquet.ROWS_PER_PART]),
        (parquet.ROWS_PER_PART + 9, [parquet.ROWS_PER_PART, 9]),
        (1_000_000, [parquet.ROWS_PER_PART] * 3 + [1_000_000 - 3 * parquet.ROWS_PER_PART]),
        (3_000_000, [23 * parquet.ROWS_PER_SPLIT] * 7 + [3_000_000 - 161 * parquet.ROWS_PER_SPLIT]),
    ],
    ids=["one", "two", "pyarrow's default", "large"],
)
def test_a_large_row_group_is_shared(tmp_path, group_rows, parts):
    path = tmp_path / "t.parquet"
    rows = 40 + group_rows
    writer = pq.ParquetWriter(path, pa.schema([("a", pa.int64())]))
    writer.write_table(pa.table({"a": range(40)}))
    writer.write_table(pa.table({"a": range(40, rows)}), row_group_size=group_rows)
    writer.close()
    settings = ReadSettings(batch_size=1000)
    file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
    splits = list(parquet.split_parquet(file, settings))
    if len(parts) == 1:
        assert [split.rows for split in splits] == [rows]
    else:
        assert [split.rows for split in splits] == [40, *parts]
    assert len({split.id for split in splits}) == len(splits)
    row = 0
    for split in splits:
        for batch in split._read_batches(settings):
            assert batch.first_row == row
            assert batch.batch.column(0).to_pylist() == list(range(row, batch.stop))
            row = batch.stop
        assert row == split.first_row + split.rows
    assert row == rows


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
    with pytest.raises(UnreadableError, match="no column 'x', which key_column names"):
        read(path, key_column="x")


@pytest.mark.parametrize("key_column", ["a", None])
def test_columns_of_one_name_are_refused(tmp_path, key_column):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), path)
    with pytest.raises(UnreadableError, match="several columns 'a'"):
        read(path, key_column=key_column)


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


def test_int96_dates_do_not_wrap(tmp_path):
    path = tmp_path / "t.parquet"
    never, usual = 253_402_214_400_000_000, 1_234_567  # 9999-12-31, in microseconds
    column = pa.array([usual, never, None, -62_135_596_800_000_000], pa.timestamp("us"))
    table = pa.table({"until": column, "n": [0, 1, 2, 3]})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    _, blocks, letters = read(path)
    assert letters == []
    values = {
        row: (block.frame["until"].dtype, block.frame["until"].iloc[position])
        for block in blocks
        for position, row in enumerate(block.index)
    }
    assert values[0] == ("datetime64[ns]", pd.Timestamp("1970-01-01 00:00:01.234567"))
    assert values[1] == ("datetime64[us]", pd.Timestamp("9999-12-31"))
    assert values[2] == ("datetime64[ns]", pd.NaT) or values[2][1] is pd.NaT
    assert values[3] == ("datetime64[us]", pd.Timestamp("0001-01-01"))
    nested = pa.table({"until": in_lists(column), "n": [0, 1, 2, 3]})
    pq.write_table(nested, path, use_deprecated_int96_timestamps=True)
    _, blocks, letters = read(path)
    assert join_blocks(blocks)["n"].tolist() == [0, 2]
    assert [letter.source for letter in letters] == [f"{path} row {row}" for row in (1, 3)]
    assert "it holds a timestamp outside the years 1677 to 2262" in letters[0].error


def test_int96_nanoseconds_are_kept(tmp_path):
    path = tmp_path / "t.parquet"
    column = pa.array([1, None, 2**60 + 7], pa.timestamp("ns"))
    pq.write_table(pa.table({"a": column}), path, use_deprecated_int96_timestamps=True)
    _, (block,), _ = read(path)
    assert block.frame["a"].astype("int64").tolist() == [1, -(2**63), 2**60 + 7]


def test_times_keep_their_nanoseconds(tmp_path):
    path = tmp_path / "t.parquet"
    time, stamp = view([1_234_567, None], pa.time64("ns")), view([7, None], pa.timestamp("ns"))
    struct = pa.StructArray.from_arrays([stamp], ["at"])
    table = {"time": time, "times": in_lists(time), "stamp": stamp, "struct": struct}
    pq.write_table(pa.table(table), path)
    _, (block,), _ = read(path)
    row = block.frame.iloc[0]
    assert row["time"] == pd.Timedelta(1_234_567)
    assert row["times"].tolist() == [1_234_567]
    assert row["stamp"].value == 7
    assert row["struct"]["at"].value == 7
    assert block.frame["time"].isna().tolist() == [False, True]


def test_integers_beside_a_missing_one_stay_exact(tmp_path):
    path = tmp_path / "t.parquet"
    large = 2**60 + 1
    table = {
        "flat": [large, None, 3],
        "small": pa.array([1, 2, None], pa.int8()),
        "lists": [[large], [None, large], [1, None]],
        "structs": [{"a": large}, {"a": None}, {"a": 3}],
    }
    pq.write_table(pa.table(table), path)
    _, blocks, letters = read(path)
    assert letters == []
    rows = {int(block.index[0]): block.frame for block in blocks}
    assert [rows[row]["flat"].dtype for row in range(3)] == ["int64", "float64", "int64"]
    assert [rows[row]["small"].dtype for row in range(3)] == ["int8", "int8", "float64"]
    assert [rows[row]["flat"].iloc[0] for row in (0, 2)] == [large, 3]
    assert rows[0]["lists"].iloc[0].dtype == "int64"
    assert [rows[row]["lists"].iloc[0].tolist() for row in (0, 1)] == [[large], [None, large]]
    assert rows[2]["lists"].iloc[0].tolist()[0] == 1
    assert [rows[row]["structs"].iloc[0]["a"] for row in range(3)] == [large, None, 3]


def test_many_columns_with_gaps_do_not_cut_blocks_into_single_rows(tmp_path):
    path = tmp_path / "t.parquet"
    gaps = np.random.default_rng(5).random((20, 1000)) < 0.3
    table = {f"c{n}": pa.array(range(1000), pa.int64(), mask=mask) for n, mask in enumerate(gaps)}
    flags = {f"f{n}": pa.array([True] * 1000, mask=mask) for n, mask in enumerate(gaps)}
    pq.write_table(pa.table({**table, **flags}), path)
    _, blocks, _ = read(path)
    assert len(blocks) < 40
    frame = join_blocks(blocks).sort_index()
    for number, mask in enumerate(gaps):
        assert frame[f"c{number}"].isna().tolist() == mask.tolist()
        assert frame[f"c{number}"][~mask].tolist() == np.arange(1000)[~mask].tolist()


def test_dictionaries_are_read_as_their_values(tmp_path):
    path = tmp_path / "t.parquet"
    texts = ["a", "b", None, "a"]
    pq.write_table(pa.table({"c": pa.array(texts).dictionary_encode()}), path, row_group_size=2)
    _, (block,), _ = read(path)
    assert block.frame["c"].tolist() == texts
    assert block.frame["c"].dtype == object


def test_tensors_keep_their_shape(tmp_path):
    path = tmp_path / "t.parquet"
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    pq.write_table(pa.table({"image": pa.FixedShapeTensorArray.from_numpy_ndarray(images)}), path)
    _, (block,), _ = read(path)
    assert np.array_equal(np.stack(block.frame["image"].tolist()), images)


def test_small_row_groups_share_blocks(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": range(1000)}), path, row_group_size=10)
    _, blocks, _ = read(path, batch_size=95)
    assert [len(block) for block in blocks] == [90] * 11 + [10]
    assert join_blocks(blocks)["a"].tolist() == list(range(1000))


def test_a_gzip_file_is_refused(tmp_path):
    path = tmp_path / "t.parquet.gz"
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t.parquet")
    path.write_bytes(gzip.compress((tmp_path / "t.parquet").read_bytes()))
    with pytest.raises(UnreadableError, match="a gzip file, in which Parquet cannot be read"):
        read(path)


@pytest.mark.parametrize(
    ("column", "keys"),
    [
        (view([0], pa.time64("ns")), ["00:00:00.000000000"]),
        (pa.array([2**63], pa.uint64()), ["9223372036854775808"]),
        (pa.array(["a"]).dictionary_encode(), ["a"]),
        (pa.array([b"abc"], pa.binary(3)), ["abc"]),
        (pa.array([True]), ["true"]),
        (pa.array([1], pa.duration("s")), ["1"]),
    ],
)
def test_keys_of_every_type_are_text(tmp_path, column, keys):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": column, "n": [1]}), path)
    _, (block,), _ = read(path, key_column="id")
    assert block.beside["key"].tolist() == keys
