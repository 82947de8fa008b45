"""Damaged Parquet files: as little as possible is lost."""

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from template.dead_letters import DeadLetter
from template.sources import parquet
from template.sources.arrow_rows import ArrowRows
from template.sources.streams import ReadSettings, UnreadableError
from tests.template.sources.parquet_files import damage, in_lists, read, view
from tests.template.support import join_blocks


def test_damage_within_a_shared_row_group_is_told_by_each_part(tmp_path):
    path = tmp_path / "t.parquet"
    rows = parquet.ROWS_PER_PART + 100
    pq.write_table(pa.table({"a": np.random.default_rng(1).random(rows)}), path)
    damage(path, 0)
    splits, blocks, letters = read(path)
    assert len(splits) == 2
    assert blocks == []
    assert [letter.source for letter in letters] == [
        f"{path} rows 0-{parquet.ROWS_PER_PART - 1}",
        f"{path} rows {parquet.ROWS_PER_PART}-{rows - 1}",
    ]


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


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        (view([0, 2**31 - 1, 1], pa.date32()), "year 5881580 is out of range"),
        (view([0, 2**62, 1], pa.date64()), "is out of range"),
        (view([0, 10**15, 1], pa.time64("us")), "hour must be in 0..23"),
        (view([0, 10**15, 1], pa.time64("ns")), "1000000000000000 ns is not a time of a day"),
        (view([0, 2**62, 1], pa.timestamp("us", "Europe/Berlin")), "beyond the calendar"),
        (view([0, -(2**63), 1], pa.timestamp("us")), "a missing time in numpy"),
        (in_lists(view([0, 2**31 - 1, 1], pa.date32())), "year 5881580 is out of range"),
        (in_lists(view([0, 2**62, 1], pa.timestamp("us", "UTC"))), "beyond the calendar"),
        (pa.array([b"a", b"\xff", b"c"]).view(pa.string()), r"b'\xff' is not UTF-8"),
    ],
)
def test_a_value_that_python_does_not_have_costs_its_row_alone(tmp_path, column, problem):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"when": column, "n": [1, 2, 3]}), path)
    _, blocks, (letter,) = read(path)
    assert join_blocks(blocks)["n"].tolist() == [1, 3]
    assert (letter.key, letter.source) == ("t.parquet#1", f"{path} row 1")
    assert letter.error.startswith("ValueError: column 'when': ")
    assert problem in letter.error


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_a_key_that_is_not_utf8_costs_its_row_alone(tmp_path, batch_size):
    path = tmp_path / "t.parquet"
    keys = [b"\xff" if row == 30 else b"k%d" % row for row in range(50)]
    pq.write_table(pa.table({"id": pa.array(keys).view(pa.string()), "n": range(50)}), path)
    _, blocks, (letter,) = read(path, key_column="id", batch_size=batch_size)
    assert join_blocks(blocks)["n"].tolist() == [n for n in range(50) if n != 30]
    assert (letter.key, letter.source) == ("t.parquet#30", f"{path} row 30")
    assert letter.error == r"ValueError: key column 'id': b'\xff' is not UTF-8"


@pytest.mark.parametrize("key_column", [None, "c"])
def test_an_index_beyond_its_dictionary_costs_its_row_alone(key_column):
    indices, dictionary = pa.array([0, 7, 1], pa.int32()), pa.array(["a", "b"])
    column = pa.DictionaryArray.from_arrays(indices, dictionary, safe=False)
    batch = pa.record_batch({"c": column, "n": [0, 1, 2]})
    rows = ArrowRows(first_row=0, batch=batch, milliseconds=None)
    parts = list(rows.read("t.parquet", ReadSettings(batch_size=9, key_column=key_column)))
    (letter,) = [part for part in parts if isinstance(part, DeadLetter)]
    assert letter.error == "ValueError: column 'c': 7 is beyond its dictionary"
    blocks = [part for part in parts if not isinstance(part, DeadLetter)]
    assert join_blocks(blocks)["n"].tolist() == [0, 2]


def test_page_checksums_are_compared(tmp_path):
    path = tmp_path / "t.parquet"
    table = pa.table({"a": [1234567] * 10})
    options = {
        "use_dictionary": False,
        "compression": "none",
        "write_page_checksum": True,
        "write_statistics": False,
    }
    pq.write_table(table, path, row_group_size=5, **options)
    data = bytearray(path.read_bytes())
    data[data.index((1234567).to_bytes(8, "little"))] ^= 1
    path.write_bytes(data)
    _, blocks, (letter,) = read(path)
    assert join_blocks(blocks).index.tolist() == [5, 6, 7, 8, 9]
    assert "rows 0 to 4 cannot be read: could not verify page integrity" in letter.error


def test_a_row_group_of_fewer_rows_than_it_says_loses_nothing_silently(tmp_path):
    path = tmp_path / "t.parquet"
    row_group = pa.table({"a": range(10)})
    with pq.ParquetWriter(path, row_group.schema, compression="none") as writer:
        writer.write_table(row_group)
        writer.write_table(row_group)
    data = bytearray(path.read_bytes())
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    ten = b"\x14"  # zigzag; twice for each row group, as rows and as values, after the total of 20
    places = [at for at in range(footer, len(data)) if data[at : at + 1] == ten]
    for place in places:
        changed = bytearray(data)
        changed[place] = 24  # twelve rows
        path.write_bytes(changed)
        try:
            counts = [group.num_rows for group in row_groups(path)]
        except (pa.ArrowException, OSError):
            continue
        if counts == [12, 10]:
            break
    else:
        pytest.fail("the footer has no number of rows")
    _, blocks, (letter,) = read(path)
    frame = join_blocks(blocks)
    assert letter.source == f"{path} rows 10-11"
    assert "rows 10 to 11 cannot be read: row group 0 has fewer rows than it states" in letter.error
    assert dict(zip(frame.index, frame["a"], strict=True)) == {
        **{row: row for row in range(10)},
        **{row + 12: row for row in range(10)},
    }


def row_groups(path):
    metadata = pq.ParquetFile(path).metadata
    return [metadata.row_group(group) for group in range(metadata.num_row_groups)]
