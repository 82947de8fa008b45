"""Declared columns: exactly these, in their order, with their types, from every source."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from template.model import BaseModel, Column
from template.rows import Rows
from template.sources.idx import split_idx
from template.sources.streams import UnreadableError
from tests.template.needs.reading import DTYPES, ROWS, Read, check_rows, read_messages


class TestEverySource:
    """The same rows give the same frame, whatever the columns' order and whatever else there is."""

    def test_csv(self, read_csv):
        frame = pd.DataFrame(ROWS)[
            ["zip", "z", "vip", "visits", "score", "pets", "member", "age", "city"]
        ]
        frame["pets"] = frame["pets"].astype("object").where(frame["pets"].notna(), None)
        frame.loc[2, "pets"] = str(2**62 + 1)
        check_rows(read_csv(frame.to_csv(index=False)).frame)

    def test_jsonl(self, read_jsonl):
        check_rows(read_jsonl(ROWS).frame)
        check_rows(read_jsonl([dict(reversed(row.items())) for row in ROWS]).frame)

    def test_messages(self):
        (block,) = read_messages(ROWS)
        check_rows(block.frame)

    def test_parquet(self, read_parquet):
        table = pa.Table.from_pylist(
            ROWS,
            pa.schema(
                [
                    ("z", pa.list_(pa.int64())),
                    ("vip", pa.bool_()),
                    ("pets", pa.int64()),
                    ("city", pa.dictionary(pa.int8(), pa.string())),
                    ("score", pa.float32()),
                    ("visits", pa.int64()),
                    ("member", pa.bool_()),
                    ("zip", pa.large_string()),
                    ("age", pa.float64()),
                ]
            ),
        )
        check_rows(read_parquet(table).frame)

    def test_optional_columns_may_all_be_absent(self, read_csv, read_jsonl, read_parquet):
        row = {"age": 1.0, "zip": "a", "visits": 2, "member": True}
        frames = [
            read_csv("member,visits,zip,age\ntrue,2,a,1\n").frame,
            read_jsonl([row]).frame,
            read_parquet({name: [value] for name, value in row.items()}).frame,
            read_messages([row])[0].frame,
        ]
        for frame in frames:
            assert [str(dtype) for dtype in frame.dtypes] == DTYPES
            assert frame.iloc[0].tolist()[:4] == [1.0, "a", 2, True]
            assert frame.iloc[0, 4:].isna().all()
            pd.testing.assert_frame_equal(frame, frames[0])


class TestWhatIsMissing:
    def test_a_declared_column_that_csv_has_twice(self, read_csv):
        columns = (Column("a", "number"),)
        with pytest.raises(UnreadableError, match="several columns 'a': rename all but one"):
            read_csv("a,b,a\n1,x,2\n", columns=columns)
        (block,) = read_csv("b,a,b\n1,2,3\n", columns=columns).blocks
        assert block.frame.to_dict("list") == {"a": [2.0]}

    def test_a_name_in_another_case_is_suggested(self, read_csv):
        with pytest.raises(UnreadableError, match=r"did you mean 'ID'\?"):
            read_csv("ID,b\n1,x\n", columns=(Column("id", "number"),))

    @pytest.mark.parametrize("word", ["true", "T", "Yes", "y", "1"])
    def test_words_of_csv_for_a_boolean(self, read_csv, word):
        columns = (Column("a", "boolean"),)
        contrary = {"true": "FALSE", "T": "f", "Yes": "no", "y": "N", "1": "0"}[word]
        (block,) = read_csv(f"a\n{word}\n{contrary}\n", columns=columns).blocks
        assert block.frame["a"].tolist() == [True, False]

    def test_a_csv_without_a_required_column_is_one_dead_letter(self, read_csv):
        with pytest.raises(UnreadableError) as info:
            read_csv("Age,zip,member\n1,a,true\n")
        assert str(info.value) == (
            "no column 'age', 'visits', which the model needs; did you mean 'Age'?; "
            "its columns: Age, zip, member"
        )

    def test_so_is_a_parquet_file(self, read_parquet):
        with pytest.raises(UnreadableError, match="no column 'zip', 'visits', 'member', which"):
            read_parquet({"age": [1.0]})

    def test_a_json_row_without_a_required_field_is_one_itself(self, read_jsonl):
        read = read_jsonl([ROWS[0], {**ROWS[0], "zip": 1} | {"Age": 2}, {"zip": "a", "agee": 1}])
        assert read.errors == {
            "row 1": "ValueError: column 'zip': 1 is not a text",
            "row 2": (
                "ValueError: no field 'age', 'visits', 'member', which the model needs; did you "
                "mean 'agee'?; its fields: zip, agee"
            ),
        }
        assert len(read.blocks[0]) == 1

    def test_so_is_a_message(self):
        letter, block = read_messages([ROWS[0], {"zip": "a"}])
        assert len(block) == 1
        assert letter.key == "1"
        assert letter.error.startswith("ValueError: no field 'age', 'visits', 'member', which")
        assert letter.message.payload == b'{"zip": "a"}'

    def test_an_image_where_columns_are_needed(self, tmp_path, write_idx):
        stream = io.BytesIO()
        Image.new("L", (2, 2)).save(stream, "PNG")
        (letter,) = read_messages([stream.getvalue()])
        assert "no column 'age', 'zip', 'visits' and 1 more, which the model" in letter.error
        with pytest.raises(UnreadableError, match="no column 'age'"):
            Read(write_idx(np.zeros((2, 3, 3), np.uint8)), split_idx)

    def test_a_missing_value(self, read_csv, read_jsonl, read_parquet):
        columns = (Column("a", "number"), Column("b", "text"), Column("c", "integer"))
        table = pa.table(
            {
                "a": pa.array([None, None], pa.int64()),
                "b": pa.array([None, None], pa.string()),
                "c": pa.array([1, None], pa.int64()),
            }
        )
        reads = [
            read_csv("a,b,c\n,,1\n,,\n", columns=columns),
            read_jsonl(
                [{"a": None, "b": None, "c": 1}, {"a": None, "b": None, "c": None}], columns=columns
            ),
            read_parquet(table, columns=columns),
        ]
        for read in reads:
            (block,) = read.blocks
            assert np.isnan(block.frame.loc[0, "a"])
            assert block.frame.loc[0, "b"] is None
            assert block.frame["c"].tolist() == [1]
            assert read.errors == {
                "row 1": "ValueError: column 'c': no value, but the model needs an integer"
            }


def test_any_is_whatever_was_read_in_cells_of_their_own(read_jsonl, read_parquet, read_csv):
    columns = (Column("a", "any"),)
    values = [1, None, "x", [1, 2], {"b": 2.5}, True, 2**70]
    frame = read_jsonl([{"a": value} for value in values], columns=columns).frame
    assert frame["a"].tolist() == values
    assert frame["a"].dtype == object
    frame = read_parquet({"a": pa.array([1, None, 2**53 + 1])}, columns=columns).frame
    assert frame["a"].tolist() == [1, None, 2**53 + 1]
    assert frame["a"].dtype == object
    assert read_csv("a\n1\n\nx\n", columns=columns).frame["a"].tolist() == ["1", "x"]


def test_messages_of_1024_shapes_take_one_block(read_jsonl):
    row = {"age": 1, "zip": "a", "visits": 2, "member": True}
    rows = [
        {**row, f"extra{number}": 1, **({"pets": 3} if number % 2 else {"score": None})}
        for number in range(1024)
    ]
    for blocks in (read_messages(rows), read_jsonl(rows, batch_size=1024).blocks):
        (block,) = blocks
        assert len(block) == 1024
        assert [str(dtype) for dtype in block.frame.dtypes] == DTYPES


def test_a_row_alone_has_the_types_of_all(read_jsonl):
    (block,) = read_jsonl(ROWS).blocks
    rows = Rows(block)
    for position in range(3):
        part = rows.take(position, position + 1)
        assert [str(dtype) for dtype in part.frame.dtypes] == DTYPES
    everything = rows.take(0, 3).frame
    everything["zip"] = "changed"
    everything["city"] = None
    again = rows.take(0, 3).frame
    check_rows(again)


def test_keys_and_columns_that_are_passed_through(read_csv, read_jsonl, read_parquet):
    columns = (Column("b", "number"),)
    settings = {"columns": columns, "key_column": "k", "passthrough_columns": ("c", "b")}
    table = {"k": ["x", "y"], "c": ["1", "2"], "b": [1.0, 2.0], "unread": [b"\xff", b"\xff"]}
    rows = [{"k": "x", "b": 1, "c": "1", "d": 3}, {"k": "y", "b": 2, "c": "2"}]
    reads = [
        read_csv("k,c,unread,b\nx,1,,1\ny,2,,2\n", **settings),
        read_jsonl(rows, **settings),
        read_parquet(table, **settings),
    ]
    for read in reads:
        (block,) = read.blocks
        assert list(block.frame.columns) == ["b"]
        assert list(block.beside["key"]) == ["x", "y"]
        assert list(map(str, block.beside["c"])) == ["1", "2"]
    for letters in (
        read_csv("k,c,b\n,1,1\ny,2,old\n", **settings).errors,
        read_jsonl([{"b": 1, "c": 1}, {"k": "y", "b": "old", "c": 1}], **settings).errors,
    ):
        assert "no value in the key column 'k'" in letters["row 0"]
        assert letters["row 1"] == "ValueError: column 'b': 'old' is not a number"


def test_the_key_column_is_in_the_frame_if_it_is_declared(read_csv, read_jsonl, read_parquet):
    settings = {"columns": (Column("k", "integer"),), "key_column": "k"}
    blocks = [
        *read_csv("k\n7\n", **settings).blocks,
        *read_jsonl([{"k": 7}], **settings).blocks,
        *read_parquet({"k": [7]}, **settings).blocks,
        *read_messages([{"k": 7}], **settings),
    ]
    assert [block.frame["k"].tolist() for block in blocks] == [[7]] * 4
    assert [list(block.beside["key"]) for block in blocks] == [["7"]] * 4


def test_only_declared_and_passed_columns_are_read_from_parquet(read_parquet, monkeypatch):
    read = []
    original = pyarrow.parquet.ParquetFile.iter_batches

    def note(self, *args, **kwargs):
        read.append(kwargs["columns"])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", note)
    table = {"a": [1], "b": [2], "c": [3], "d": [4]}
    read_parquet(table, columns=(Column("c", "number"),), passthrough_columns=("a",))
    assert read == [["a", "c"]]


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_a_file_of_which_no_column_is_needed_has_its_rows(name, read_csv, read_parquet):
    columns = (Column("x", "number", optional=True),)
    if name == "csv":
        frame = read_csv("a,b\n1,2\n3,4\n", columns=columns).frame
    else:
        frame = read_parquet({"a": [1, 3], "b": [2, 4]}, columns=columns).frame
    assert frame["x"].isna().tolist() == [True, True]


class TestDeclaring:
    def test_what_cannot_be_is_refused_where_it_is_declared(self):
        with pytest.raises(ValueError, match=r"Column\('a', 'numbr'\).*did you mean 'number'"):
            Column("a", "numbr")
        with pytest.raises(ValueError, match="the name must be text"):
            Column("", "number")
        with pytest.raises(ValueError, match="'a' is declared 2 times"):
            type("Bad", (BaseModel,), {"columns": [Column("a", "text"), Column("a", "number")]})
        with pytest.raises(TypeError, match="'a' is not a Column"):
            type("Bad", (BaseModel,), {"columns": ["a"]})

    def test_a_subclass_inherits(self):
        parent = type("Parent", (BaseModel,), {"columns": [Column("a", "text")]})
        assert type("Child", (parent,), {}).columns is parent.columns
