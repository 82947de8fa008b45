"""Declared columns: exactly these, in their order, with their types, from every source."""

import base64
import gzip
import io
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image

from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.messages import Message, Messages
from template.model import BaseModel, Column, Images
from template.options import PredictConfig
from template.parameters import ParameterError
from template.rows import Rows
from template.sources import messages as messages_source
from template.sources.csv import split_csv
from template.sources.idx import split_idx
from template.sources.images import split_images
from template.sources.jsonl import split_jsonl
from template.sources.messages import MessageSettings
from template.sources.parquet import split_parquet
from template.sources.streams import ReadSettings, UnreadableError

COLUMNS = (
    Column("age", "number"),
    Column("zip", "text"),
    Column("visits", "integer"),
    Column("member", "boolean"),
    Column("score", "number", optional=True),
    Column("city", "text", optional=True),
    Column("pets", "integer", optional=True),
    Column("vip", "boolean", optional=True),
)
DTYPES = ["float64", "object", "int64", "bool", "float64", "object", "Int64", "boolean"]
ROWS = [
    {"age": 36.5, "zip": "00501", "visits": 4, "member": True},
    {"age": 40, "zip": "1e3", "visits": 2**60 + 1, "member": False, "score": 1.5, "city": "x"},
    {"age": 1, "zip": "ü", "visits": -1, "member": True, "pets": 2**62 + 1, "vip": False, "z": [1]},
]


class Read:
    """The parts of a file that a source makes."""

    def __init__(self, path, split, **settings):
        self.path = path
        settings = ReadSettings(**{"batch_size": 1000, "columns": COLUMNS, **settings})
        file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
        self.parts = [
            part
            for each in split(file, settings)
            for part in ([each] if isinstance(each, DeadLetter) else each.read(settings))
        ]

    @property
    def blocks(self):
        return [part for part in self.parts if not isinstance(part, DeadLetter)]

    @property
    def errors(self):
        letters = [part for part in self.parts if isinstance(part, DeadLetter)]
        return {letter.source.removeprefix(f"{self.path} "): letter.error for letter in letters}

    @property
    def frame(self):
        assert not self.errors, self.errors
        (block,) = self.blocks
        return block.frame


@pytest.fixture
def read_csv(tmp_path):
    def read(text, **settings):
        path = tmp_path / "t.csv"
        path.write_text(text)
        return Read(path, split_csv, **settings)

    return read


@pytest.fixture
def read_jsonl(tmp_path):
    def read(records, **settings):
        path = tmp_path / "t.jsonl"
        lines = [each if isinstance(each, str) else json.dumps(each) for each in records]
        path.write_text("\n".join(lines))
        return Read(path, split_jsonl, **settings)

    return read


@pytest.fixture
def read_parquet(tmp_path):
    def read(table, **settings):
        path = tmp_path / "t.parquet"
        pyarrow.parquet.write_table(table if isinstance(table, pa.Table) else pa.table(table), path)
        return Read(path, split_parquet, **settings)

    return read


def read_messages(payloads, **settings):
    settings = MessageSettings(**{"columns": COLUMNS, **settings})
    messages = Messages(
        Message(each if isinstance(each, bytes) else json.dumps(each).encode(), {}, str(number), 0)
        for number, each in enumerate(payloads)
    )
    decode = messages_source._DecodeDoFn(settings)
    return [getattr(part, "value", part) for part in decode.process(messages)]


def check_rows(frame):
    """Check that a frame holds ``ROWS``."""
    assert list(frame.columns) == [column.name for column in COLUMNS]
    assert [str(dtype) for dtype in frame.dtypes] == DTYPES
    assert frame["age"].tolist() == [36.5, 40, 1]
    assert frame["zip"].tolist() == ["00501", "1e3", "ü"]
    assert frame["visits"].tolist() == [4, 2**60 + 1, -1]
    assert frame["member"].tolist() == [True, False, True]
    assert np.isnan(frame["score"].tolist()).tolist() == [True, False, True]
    assert frame["city"].tolist() == [None, "x", None]
    assert frame["pets"].tolist() == [pd.NA, pd.NA, 2**62 + 1]
    assert frame["vip"].tolist() == [pd.NA, pd.NA, False]


class TestEverySource:
    """The same rows give the same frame, whatever the order of the columns, and what is beside."""

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
                "row 1": "ValueError: column 'c': no value, and the model needs an integer"
            }


class TestValuesOfAnotherType:
    @pytest.mark.parametrize(
        ("type_", "value", "reason"),
        [
            ("number", "old", "'old' is not a number"),
            ("number", True, "true is not a number"),
            ("number", [1], "a list is not a number"),
            ("number", 2**53 + 1, "9007199254740993 is not exact as a float64; declare"),
            ("number", 10**400, "is not exact as a float64"),
            ("integer", 1.5, "1.5 is not a whole number"),
            ("integer", "1", "'1' is not a whole number"),
            ("integer", 2**63, "9223372036854775808 has more than 64 bits"),
            ("integer", False, "false is not a whole number"),
            ("boolean", 1, "1 is not true or false"),
            ("text", 5, "5 is not a text"),
            ("text", {"a": 1}, "an object is not a text"),
            ("image", "?!", "not base64"),
            ("image", 5, "a JSON int, not a list of pixels or base64"),
            ("image", [[True, 1]], "its pixels are not numbers"),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("optional", [False, True])
    def test_in_json(self, read_jsonl, type_, value, reason, optional):
        good = {"number": 1, "integer": 2, "boolean": True, "text": "x", "image": [[1, 2]]}[type_]
        columns = (Column("a", type_, optional),)
        read = read_jsonl([{"a": good}, {"a": value}, {"a": good}], columns=columns)
        (error,) = read.errors.values()
        assert error.startswith("ValueError: column 'a': ")
        assert reason in error
        (block,) = read.blocks
        assert list(block.index) == [0, 2]
        letters = read_messages([{"a": value}], columns=columns)
        assert [each.error for each in letters] == [error]

    @pytest.mark.parametrize(
        ("type_", "value", "reason"),
        [
            ("number", "old", "'old' is not a number"),
            ("number", "9007199254740993", "is not exact as a float64"),
            ("integer", "1.5", "1.5 is not a whole number"),
            ("integer", "x", "'x' is not a whole number"),
            ("integer", "9223372036854775808", "has more than 64 bits"),
            ("boolean", "maybe", "'maybe' is not true or false"),
        ],
    )
    def test_in_csv(self, read_csv, type_, value, reason):
        good = {"number": "1e3", "integer": " 7 ", "boolean": "TRUE"}[type_]
        columns = (Column("a", type_),)
        read = read_csv(f"a\n{good}\n{value}\n{good}\n", columns=columns)
        (error,) = read.errors.values()
        assert error.startswith("ValueError: column 'a': ")
        assert reason in error
        (block,) = read.blocks
        assert (
            block.frame["a"].tolist()
            == [{"number": 1000.0, "integer": 7, "boolean": True}[type_]] * 2
        )

    @pytest.mark.parametrize(
        ("type_", "array"),
        [
            ("number", pa.array(["a"])),
            ("number", pa.array([True])),
            ("integer", pa.array(["a"])),
            ("boolean", pa.array([1])),
            ("text", pa.array([1])),
            ("text", pa.array([b"a"])),
        ],
        ids=str,
    )
    def test_a_parquet_column_that_never_fits_costs_the_file(self, read_parquet, type_, array):
        with pytest.raises(UnreadableError, match=r"column 'a' is of type .*, and the model needs"):
            read_parquet({"a": array}, columns=(Column("a", type_),))

    def test_a_parquet_value_that_does_not_fit_costs_its_row(self, read_parquet):
        columns = (Column("a", "number"), Column("b", "integer"), Column("c", "integer"))
        table = pa.table(
            {
                "a": pa.array([1, 2**53 + 1, 3, 4], pa.int64()),
                "b": pa.array([1.0, 2.0, 2.5, 4.0]),
                "c": pa.array([1, 2, 3, 2**63], pa.uint64()),
            }
        )
        read = read_parquet(table, columns=columns)
        assert set(read.errors) == {"row 1", "row 2", "row 3"}
        assert read.blocks[0].frame.values.tolist() == [[1, 1, 1]]
        assert [str(dtype) for dtype in read.blocks[0].frame.dtypes] == [
            "float64",
            "int64",
            "int64",
        ]

    def test_decimals_are_numbers_and_null_columns_are_missing(self, read_parquet):
        columns = (Column("a", "number"), Column("b", "text"))
        table = pa.table({"a": [Decimal("1.25"), None], "b": pa.nulls(2)})
        frame = read_parquet(table, columns=columns).frame
        assert frame["a"].tolist()[0] == 1.25
        assert frame.dtypes.astype(str).tolist() == ["float64", "object"]


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


GREY = Images((2, 3), "L", fit="stretch")


class TestImagesInColumns:
    columns = (Column("age", "number"), Column("image", "image"), Column("photo", "image", True))

    def png(self, value=7, size=(3, 2)):
        stream = io.BytesIO()
        Image.new("L", size, value).save(stream, "PNG")
        return stream.getvalue()

    def check(self, frame):
        assert list(frame.columns) == ["age", "image", "photo"]
        for image in frame["image"]:
            assert image.tolist() == [[7, 7, 7], [7, 7, 7]]
            image[:] = 0
        assert frame["photo"].tolist() == [None, None]

    def test_in_json(self, read_jsonl):
        rows = [
            {"age": 1, "image": base64.b64encode(self.png()).decode()},
            {"age": 2, "image": [[7] * 6] * 4, "photo": None},
        ]
        settings = {"columns": self.columns, "images": GREY}
        self.check(read_jsonl(rows, **settings).frame)
        self.check(read_messages(rows, **settings)[0].frame)

    def test_in_parquet(self, read_parquet):
        settings = {"columns": self.columns, "images": GREY}
        table = {"age": [1, 2], "image": [self.png(), self.png(size=(30, 20))]}
        self.check(read_parquet(table, **settings).frame)
        table = {"age": [1, 2], "image": [[7] * 6, [7] * 6]}
        self.check(read_parquet(table, **settings).frame)

    def test_image_files_have_the_other_columns_if_they_are_optional(self, tmp_path):
        (tmp_path / "a.png").write_bytes(self.png())
        files = [FileVersion(path=str(tmp_path / "a.png"), size=1, generation="1")]
        columns = (Column("age", "number", optional=True), Column("image", "image"))
        settings = ReadSettings(batch_size=3, columns=columns, images=GREY)
        (split,) = split_images(files, settings)
        (block,) = split.read(settings)
        assert list(block.frame.columns) == ["age", "image"]
        assert block.frame["image"][0].shape == (2, 3)
        settings = ReadSettings(batch_size=3, columns=self.columns, images=GREY)
        (letter,) = split.read(settings)
        assert "no column 'age', which the model needs" in letter.error


class Sums(BaseModel):
    columns = (Column("b", "number"), Column("a", "integer"), Column("day", "text", optional=True))

    def load_model(self, path):
        return sum

    def predict(self, df):
        assert list(df.columns) == ["b", "a", "day"]
        assert df.dtypes.astype(str).tolist() == ["float64", "int64", "object"]
        return pd.DataFrame({"sum": df["a"] + df["b"], "day": df["day"]})


class TestJobs:
    def test_files_of_all_kinds(self, predict, tmp_path):
        folder = tmp_path / "day=1"
        folder.mkdir()
        (folder / "a.csv").write_text("a,b\n1,2\n3,old\n")
        (folder / "b.csv.gz").write_bytes(gzip.compress(b"b,a,c\n10,20,x\n"))
        (folder / "c.jsonl").write_text('{"a": 5, "b": 6.5}\n{"a": 5}\n')
        (folder / "d.csv").write_text("b\n1\n")
        pyarrow.parquet.write_table(pa.table({"b": [7], "a": [8]}), folder / "e.parquet")
        outcome = predict(tmp_path / "day=*" / "*", model_class=Sums)
        rows = {row["key"]: (row["sum"], row["day"]) for row in outcome.predictions}
        assert rows == {
            "day=1/a.csv#0": (3.0, "1"),
            "day=1/b.csv.gz#0": (30.0, "1"),
            "day=1/c.jsonl#0": (11.5, "1"),
            "day=1/e.parquet#0": (15.0, "1"),
        }
        errors = {
            letter["source"].rpartition("/")[2]: letter["error"] for letter in outcome.dead_letters
        }
        assert errors == {
            "a.csv row 1": "ValueError: column 'b': 'old' is not a number",
            "c.jsonl row 1": "ValueError: no field 'b', which the model needs; its fields: a",
            "d.csv": "UnreadableError: no column 'a', which the model needs; its columns: b",
        }

    def test_a_job_without_a_file_that_has_the_columns_fails(self, predict, tmp_path):
        (tmp_path / "a.csv").write_text("x,y\n1,2\n")
        outcome = predict(tmp_path / "*.csv", model_class=Sums, max_dead_letter_share=None)
        assert "1 x UnreadableError: no column 'b', 'a', which the model needs" in outcome.failure

    def test_a_folder_has_the_declared_type(self, predict, tmp_path):
        class Days(Sums):
            columns = (Column("day", "integer"),)

            def predict(self, df):
                assert df.dtypes.astype(str).tolist() == ["int64"]
                return df["day"] + 1

        for day in ("1", "x"):
            (tmp_path / f"day={day}").mkdir()
            (tmp_path / f"day={day}" / "a.csv").write_text("b\n1\n")
        outcome = predict(tmp_path / "day=*" / "*.csv", model_class=Days)
        assert [row["day"] for row in outcome.predictions] == [2]
        (letter,) = outcome.dead_letters
        assert "its folder 'day=x': 'x' is not a whole number" in letter["error"]

    def test_column_types_go_before_the_declaration(self, predict, tmp_path):
        class Zips(Sums):
            columns = (Column("zip", "number"),)

            def predict(self, df):
                return df["zip"].map(repr)

        (tmp_path / "a.csv").write_text("zip\n00501\n")
        outcome = predict(tmp_path / "*.csv", model_class=Zips)
        assert [row["zip"] for row in outcome.predictions] == ["501.0"]
        outcome = predict(tmp_path / "*.csv", model_class=Zips, column_types={"zip": "text"})
        assert [row["zip"] for row in outcome.predictions] == ["'00501'"]

    def test_a_type_of_a_column_that_is_not_declared_is_refused_at_launch(self):
        flags = ["--input=a", "--output=b", "--model_path=c", "--column_types=bb:text"]
        flags.append(f"--model_class={__name__}:Sums")
        with pytest.raises(
            ParameterError, match="does not declare a column 'bb'; did you mean 'b'"
        ):
            PredictConfig.from_options(PipelineOptions(flags))


class TestDeclaring:
    def test_what_cannot_be_is_refused_where_it_is_declared(self):
        with pytest.raises(ValueError, match=r"Column\('a', 'numbr'\).*did you mean 'number'"):
            Column("a", "numbr")
        with pytest.raises(ValueError, match="the name is a text"):
            Column("", "number")
        with pytest.raises(ValueError, match="'a' is declared 2 times"):
            type("Bad", (BaseModel,), {"columns": [Column("a", "text"), Column("a", "number")]})
        with pytest.raises(TypeError, match="'a' is not a Column"):
            type("Bad", (BaseModel,), {"columns": ["a"]})

    def test_a_subclass_inherits(self):
        assert type("Child", (Sums,), {}).columns is Sums.columns
