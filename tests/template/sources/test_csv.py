"""CSV files: columns, types, keys and bad rows."""

import gzip
import io
import time

import numpy as np
import pandas as pd
import pytest
from pandas._libs.parsers import STR_NA_VALUES

from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.model import BaseModel
from template.sources import csv as csv_source
from template.sources.streams import ReadSettings, UnreadableError
from tests.template.support import join_blocks


@pytest.fixture
def read_parts(tmp_path):
    """Read text as a CSV file: (blocks, dead letters by source)."""

    def run(text, name="t.csv", *, batch_size=1000, **settings):
        path = tmp_path / name
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)
        file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
        settings = ReadSettings(batch_size=batch_size, **settings)
        blocks, letters = [], []
        for split in csv_source.split_csv(file, settings):
            parts = [split] if isinstance(split, DeadLetter) else split.read(settings)
            for part in parts:
                (letters if isinstance(part, DeadLetter) else blocks).append(part)
        assert all(len(block) <= batch_size for block in blocks)
        return blocks, {letter.source.removeprefix(str(path)): letter.error for letter in letters}

    return run


@pytest.fixture
def read(read_parts):
    """Read text as a CSV file: (all rows as one frame, dead letters by source)."""

    def run(*args, **settings):
        blocks, letters = read_parts(*args, **settings)
        return join_blocks(blocks), letters

    return run


@pytest.fixture
def read_blocks(read_parts):
    """Read text as a CSV file, without dead letters."""

    def run(*args, **settings):
        blocks, letters = read_parts(*args, **settings)
        assert letters == {}
        return blocks

    return run


@pytest.fixture
def read_schema(tmp_path):
    """Return the columns of a CSV file."""

    def run(text):
        path = tmp_path / "t.csv"
        path.write_bytes(text.encode())
        file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
        (split,) = csv_source.split_csv(file, ReadSettings(batch_size=1))
        return list(split.schema.columns)

    return run


def test_columns_keys_and_row_numbers(read):
    frame, letters = read("a,b,c\n1,x,2.5\n2,,3\n,y,\n")
    assert letters == {}
    assert list(frame.columns) == ["key", "a", "b", "c"]
    assert frame["key"].tolist() == ["t.csv#0", "t.csv#1", "t.csv#2"]
    assert frame.index.tolist() == [0, 1, 2]
    assert frame["a"].tolist()[:2] == [1.0, 2.0]
    assert np.isnan(frame["a"].iloc[2])
    assert frame["b"].tolist() == ["x", None, "y"]
    assert frame["a"].dtype == frame["c"].dtype == np.float64


def test_bom_crlf_quotes_blank_lines_and_no_last_newline(read):
    frame, letters = read(b'\xef\xbb\xbfa,b\r\n1,"x, ""y""\nz"\r\n\r\n2,w\r\n\n3,last')
    assert letters == {}
    assert list(frame.columns) == ["key", "a", "b"]
    assert frame["b"].tolist() == ['x, "y"\nz', "w", "last"]
    assert frame["key"].tolist() == ["t.csv#0", "t.csv#1", "t.csv#2"]


def test_header_names_follow_pandas(read):
    text = "a,a,,b,a\n1,2,3,4,5\n"
    frame, _ = read(text)
    assert list(frame.columns)[1:] == list(pd.read_csv(io.StringIO(text)).columns)


@pytest.mark.parametrize("text", ["", "\n\n", "a,b\n", "a,b"])
def test_no_rows(read, text):
    frame, letters = read(text)
    assert frame.empty
    assert letters == {}


def test_rows_that_do_not_parse_are_dead_letters(read):
    frame, letters = read("a,b\n1,x\n2\n3,y,z\n5,v\n")
    assert frame["a"].tolist() == [1.0, 5.0]
    assert frame.index.tolist() == [0, 3]
    assert letters == {
        " row 1": "ValueError: 1 fields instead of 2: '2'",
        " row 2": "ValueError: 3 fields instead of 2: '3,y,z'",
    }


def test_bytes_that_are_not_utf8_cost_one_row(read):
    frame, letters = read(b"a,b\n1,x\n2,\xff\n3,z\n")
    assert frame["a"].tolist() == [1.0, 3.0]
    assert letters == {" row 1": r"ValueError: column 'b': b'\xff' is not UTF-8"}


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_fields_too_many_that_are_not_utf8_cost_one_row_and_print_nothing(read, capfd):
    frame, letters = read(b"a,b\n1,x\n2,y,\xff\n3,z\n4\n")
    assert frame["a"].tolist() == [1.0, 3.0]
    assert list(letters) == [" row 1", " row 3"]
    assert "Expected 2 columns, got 3" in letters[" row 1"]
    assert "1 fields instead of 2: '4'" in letters[" row 3"]
    assert capfd.readouterr().err == ""


def test_a_lone_carriage_return_costs_one_row(read):
    lines = [f"{row},x" for row in range(50)]
    lines[20] = "20,x\ry"
    frame, letters = read("a,b\n" + "\n".join(lines) + "\n")
    assert len(frame) == 49
    assert frame["key"].iloc[20] == "t.csv#21"
    assert list(letters) == [" row 20"]


def test_the_type_of_a_column_belongs_to_the_file(read_blocks):
    text = "a,b\n" + "".join(f"{row},{row}\n" for row in range(3000)) + "x,y\n"
    *clean, misfit = read_blocks(text, batch_size=100)
    assert {block.frame["a"].dtype for block in clean} == {np.dtype(np.float64)}
    assert misfit.frame.to_dict("list") == {"a": ["x"], "b": ["y"]}
    (mostly_text,) = read_blocks("a\n" + "x\n" * 60 + "7\n" * 40)
    assert set(mostly_text.frame["a"]) == {"x", "7"}


def test_rows_whose_cells_do_not_fit_travel_apart(read_blocks):
    text = "a,b,c\n1,2,p\nx,3,q\n4,y,r\nz,z,s\n5,6,t\nw,7,u\n8,9,v\n"
    clean, first, second, both = read_blocks(text)
    assert clean.index.tolist() == [0, 4, 6]
    assert clean.frame.dtypes.tolist() == [np.float64, np.float64, object]
    assert clean.misfits == []
    assert first.index.tolist() == [1, 5]
    assert first.frame.to_dict("list") == {"a": ["x", "w"], "b": [3.0, 7.0], "c": ["q", "u"]}
    assert list(first.frame.columns) == ["a", "b", "c"]
    assert first.frame["b"].dtype == np.float64
    assert first.misfits[1] == {"a": "w"}
    assert second.frame.to_dict("list") == {"a": [4.0], "b": ["y"], "c": ["r"]}
    assert both.misfits == [{"a": "z", "b": "z"}]


def test_a_block_of_misfits_has_its_size_and_keeps_its_notes(read_blocks):
    text = "a\n" + "1\n" * 11 + "".join(f"x{row}\n" for row in range(7))
    blocks = read_blocks(text, batch_size=5)
    assert [len(block) for block in blocks] == [5, 5, 1, 5, 2]
    assert blocks[4].misfits[1] == {"a": "x6"}
    assert blocks[3].take(1, 3).misfits == [{"a": "x1"}, {"a": "x2"}]


class Sum(BaseModel):
    """Adds two columns, and does not look at others."""

    def load_model(self, path, **opts):
        return True

    def predict(self, df):
        return df[["a", "b"]].to_numpy(dtype=float).sum(axis=1)


def test_a_cell_that_predict_does_not_need_costs_nothing(predict, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,ticket\n1,2,1\n3,4,A/5 21171\n5,old,3\n7,8,4\n9,10,5\n")
    outcome = predict(path, model_class=Sum)
    sums = {key: row["prediction"] for key, row in outcome.by_key().items()}
    assert sums == {"t.csv#0": 3, "t.csv#1": 7, "t.csv#3": 15, "t.csv#4": 19}
    assert outcome.dead_letters == [
        {
            "key": "t.csv#2",
            "error": "ValueError: column 'b': 'old' is not a number",
            "source": f"{path} row 2",
        }
    ]


class Picky(Sum):
    """Has reasons to fail that are no texts."""

    def predict(self, df):
        if (df["c"] > 90).any():
            raise ValueError("c is too large")
        return super().predict(df)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("old,x,0", "ValueError: column 'a': 'old' is not a number"),
        ("1,old,0", "ValueError: column 'b': 'old' is not a number"),
        ("1,old,91", "ValueError: c is too large (column 'b': 'old' is not a number)"),
        (
            "old,x,91",
            "ValueError: c is too large "
            "(column 'a': 'old' is not a number; column 'b': 'x' is not a number)",
        ),
    ],
)
def test_a_row_with_a_text_among_numbers_says_why_it_failed(predict, tmp_path, row, error):
    path = tmp_path / "t.csv"
    path.write_text(f"a,b,c\n1,2,3\n{row}\n4,5,6\n7,8,9\n")
    (letter,) = predict(path, model_class=Picky).dead_letters
    assert letter == {"key": "t.csv#1", "error": error, "source": f"{path} row 1"}


def test_long_integers_keep_their_digits(read_blocks):
    text = "id,x\n1582218195625938945,1\n1582218195625938946,2\n,3\n7,4\n18446744073709551615,5\n"
    text += "123123123123123123123123,6\n-9223372036854775808,7\n9007199254740992,8\n1e18,9\n"
    floats, integers, unsigned, long = _by_dtype(read_blocks(text))
    assert integers.frame["id"].tolist() == [
        1582218195625938945,
        1582218195625938946,
        -9223372036854775808,
    ]
    assert unsigned.frame["id"].tolist() == [18446744073709551615]
    assert long.frame["id"].tolist() == [123123123123123123123123]
    assert floats.frame["id"].tolist()[1:] == [7.0, 9007199254740992.0, 1e18]
    assert not any(block.misfits for block in (floats, integers, unsigned, long))


def test_the_first_integer_that_a_float_does_not_hold(read_blocks):
    floats, integers = read_blocks(
        "a\n9007199254740992\n9007199254740993\n-9007199254740993\n0.5\n"
    )
    assert floats.frame["a"].tolist() == [9007199254740992.0, 0.5]
    assert integers.frame["a"].tolist() == [9007199254740993, -9007199254740993]


def _by_dtype(blocks):
    found = {str(block.frame.iloc[:, 0].dtype): block for block in blocks}
    assert len(found) == len(blocks)
    return [found[dtype] for dtype in ("float64", "int64", "uint64", "object")]


GZIPPED_TWICE = gzip.compress(gzip.compress(b"a\n1\n", mtime=0), mtime=0)
NUMBERS = {
    "1e3": 1000.0,
    " 7 ": 7.0,
    "-.5": -0.5,
    "+2": 2.0,
    "00501": 501.0,
    "1.": 1.0,
    "Infinity": np.inf,
    "-inf": -np.inf,
}


def test_numbers_as_pandas_reads_them(read_blocks):
    (block,) = read_blocks("a,b\n" + "".join(f"{cell},x\n" for cell in NUMBERS))
    assert block.frame["a"].tolist() == list(NUMBERS.values())
    assert block.frame["a"].dtype == np.float64


@pytest.mark.parametrize(
    "cell", ["1_000", "0x10", "1e400", "\u0661", "nan(1)", "NAN", "1,5", "true"]
)
def test_what_pandas_takes_for_text_is_text(read_blocks, cell):
    text = f'a\n1\n2\n"{cell}"\n'
    assert pd.read_csv(io.StringIO(text))["a"].tolist()[2] == cell
    _, misfit = read_blocks(text)
    assert misfit.frame["a"].tolist() == [cell]


def test_missing_values_of_numbers(read_blocks):
    words = [*sorted(STR_NA_VALUES), "   ", "\t"]
    text = "a,b\n1,x\n" + "".join(f"{word},{word}\n" for word in words)
    (block,) = read_blocks(text)
    assert block.frame["a"].isna().tolist() == [False] + [True] * len(words)
    assert block.frame["b"].tolist() == ["x", *(word or None for word in words)]


def test_missing_values_do_not_decide_a_type(read_blocks):
    (block,) = read_blocks("a,b\n" + "NA,x\n" * 50 + " ,y\n" * 50 + "z,\ny,\n3,\n")
    assert set(block.frame["a"]) == {"NA", " ", "z", "y", "3"}
    (block,) = read_blocks("a,b\n,x\nNA,y\n")
    assert block.frame["a"].dtype == np.float64
    assert block.frame["a"].isna().all()


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_type_comes_from_values_however_late(read_blocks, name):
    long = "y" * (1 << 20)
    text = "a,b,c\n" + f",{long},1\n" * 20 + "".join(f"{row},z,2\n" for row in range(10))
    blocks = read_blocks(text, name)
    assert {block.frame["a"].dtype for block in blocks} == {np.dtype(np.float64)}
    assert sum(len(block) for block in blocks) == 30


def test_column_types_decide(read_blocks, read):
    types = {"zip": "text", "age": "number"}
    text = "zip,age\n00501,x\n9.10,y\n,3\n"
    clean, misfits = sorted(read_blocks(text, column_types=types), key=len)
    assert clean.frame.to_dict("list") == {"zip": [None], "age": [3.0]}
    assert misfits.frame.to_dict("list") == {"zip": ["00501", "9.10"], "age": ["x", "y"]}
    with pytest.raises(UnreadableError, match="no column 'zipp', which column_types names; did yo"):
        read(text, column_types={"zipp": "text"})


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(read, delimiter):
    text = 'a,b,c\n1,"x,;\t|",2\n3,"y\nz",4\n'.replace(",", delimiter)
    for given in (None, delimiter):
        frame, letters = read(text, csv_delimiter=given)
        assert letters == {}
        assert list(frame.columns) == ["key", "a", "b", "c"]
        assert frame["c"].tolist() == [2.0, 4.0]
        assert frame["b"].tolist() == [f"x{delimiter};\t|", "y\nz"]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("name, first;price\nx, y;1,5\n", ["name, first", "price"]),
        ("note;x\njust text\nmore\n", ["note;x"]),
        ("a,b;c\n1,2\n3,4\n", ["a", "b;c"]),
        ("a;b,c\n1;2\n", ["a", "b,c"]),
        ("sep=|\na;b|c\n1|2\n", ["a;b", "c"]),
        ('\ufeff"sep=\t"\r\n"a"\tb\n1\t2\n', ["a", "b"]),
        ("sep=,\na;b\n1;2\n", ["a;b"]),
        ("a|b\n1|2", ["a", "b"]),
    ],
)
def test_a_delimiter_is_found(read_schema, text, columns):
    assert read_schema(text) == columns


def test_a_header_may_hold_newlines_and_begin_with_a_mark(read):
    frame, letters = read(b'\xef\xbb\xbf"a\r\n1","b, ""c""\n",d\n1,2,3\n')
    assert letters == {}
    assert list(frame.columns) == ["key", "a\r\n1", 'b, "c"\n', "d"]
    assert frame.iloc[0].tolist() == ["t.csv#0", 1, 2, 3]


def test_a_header_of_many_equal_names_takes_no_time(read_schema):
    started = time.perf_counter()
    names = read_schema(",".join(["a"] * 5000) + "\n" + ",".join(["1"] * 5000) + "\n")
    assert names == ["a", *(f"a.{number}" for number in range(1, 5000))]
    assert time.perf_counter() - started < 2


@pytest.mark.filterwarnings("error")
def test_many_columns_of_texts_and_numbers_keep_their_order(read_blocks):
    names = [f"c{number}" for number in range(3000)]
    text = ",".join(names) + "\n" + (",".join(["x", "1", "y"] * 1000) + "\n") * 5
    started = time.process_time()
    (block,) = read_blocks(text)
    assert time.process_time() - started < 5
    assert list(block.frame.columns) == names
    assert block.frame.iloc[4].tolist() == ["x", 1.0, "y"] * 1000


@pytest.mark.parametrize(
    "header", ["a,a.1,a,a", "a,a,a.1", "a.1,a,a", ",a,,Unnamed: 0", "a.1,a.1,a,a,a"]
)
def test_equal_names_follow_pandas(read_schema, header):
    text = header + "\n" + ",".join("1" * len(header.split(","))) + "\n"
    assert read_schema(text) == list(pd.read_csv(io.StringIO(text)).columns)


def test_key_column(read):
    frame, letters = read("id,a\n007,1\n,2\n9,3\n", key_column="id")
    assert frame["key"].tolist() == ["007", "9"]
    assert list(frame.columns) == ["key", "a"]
    assert letters == {" row 1": "ValueError: no value in the key column 'id'"}
    frame, _ = read("key,a\nx,1\n", key_column="key")
    assert frame.to_dict("records") == [{"key": "x", "a": 1.0}]
    frame, _ = read("a,id,b,n\np,x,q,1\n", key_column="id")
    assert frame.to_dict("records") == [{"key": "x", "a": "p", "b": "q", "n": 1.0}]


def test_a_column_that_is_named_key_is_one_of_the_frame(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("key,a\nx,1\n")
    file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
    settings = ReadSettings(batch_size=10)
    (split,) = csv_source.split_csv(file, settings)
    (block,) = split.read(settings)
    assert block.frame.to_dict("records") == [{"key": "x", "a": 1.0}]
    assert block.beside["key"].tolist() == ["t.csv#0"]


def test_a_bad_row_keeps_its_key(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"id,a,b\nw,0,x\nx,1,y\nz,2,\xff\n,3,\xff\n")
    file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
    settings = ReadSettings(batch_size=10, key_column="id")

    (split,) = csv_source.split_csv(file, settings)

    letters = [part for part in split.read(settings) if isinstance(part, DeadLetter)]
    assert [letter.key for letter in letters] == ["z", "t.csv#3"]


@pytest.mark.parametrize(
    ("text", "key_column", "reason"),
    [
        ("a,b\n1,2\n", "id", "no key column 'id'; its columns: a, b"),
        ("a,b\r1,2\r3,4\r", None, "carriage returns alone"),
        (b"sep=\xe4\na\xe4b\n", None, "name a delimiter in ASCII"),
        ("a,b\n1,2\n".encode("utf-16"), None, "encoded in UTF-16"),
        (b"PK\x03\x04\n", None, "a ZIP file, as Excel workbooks are"),
        (b"a,\xff\n1,2\n", None, "its header line is not UTF-8"),
        (GZIPPED_TWICE, None, "compressed with gzip twice"),
    ],
)
def test_a_header_that_cannot_be_used_says_why(read, text, key_column, reason):
    with pytest.raises(UnreadableError, match=reason):
        read(text, key_column=key_column)


def test_an_open_quote_costs_the_rest_of_the_file(read):
    frame, letters = read('a,b\n1,x\n2,"y\n3,z\n')
    assert frame["a"].tolist() == [1.0]
    assert list(letters) == [" rows 1-"]
    assert "a quoted field is not closed" in letters[" rows 1-"]


def test_gzip_gives_the_same_rows(read):
    text = "a,b\n" + "".join(f'{row},"{row}\n,"\n' for row in range(2500)) + "bad\n"
    plain, plain_letters = read(text)
    zipped, zipped_letters = read(text, "T.CSV.GZ")
    assert plain.drop(columns="key").equals(zipped.drop(columns="key"))
    assert list(plain_letters) == list(zipped_letters) == [" row 2500"]


def test_splits_of_a_file_join_to_the_file(tmp_path):
    rows = 300_000
    path = tmp_path / "big.csv"
    values = np.random.default_rng(3).random(rows)
    path.write_text(
        "a,b\n" + "".join(f'{v},"line {i}\nof, {i}"\n' for i, v in enumerate(values)) + "\n"
    )
    settings = ReadSettings(batch_size=4096)
    file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
    splits = list(csv_source.split_csv(file, settings))
    assert len(splits) > 1
    frame = join_blocks([block for split in splits for block in split.read(settings)])
    assert frame.index.tolist() == list(range(rows))
    assert np.array_equal(frame["a"], values)
    assert frame["b"].iloc[-1] == f"line {rows - 1}\nof, {rows - 1}"


def test_fashion_mnist_as_csv_predicts_as_idx_does(predict, images, expected, tmp_path):
    array = images(40)
    frame = pd.DataFrame(array.reshape(40, 784), columns=[f"pixel{n}" for n in range(1, 785)])
    frame.insert(0, "label", 3)
    frame = frame.astype(float)
    frame.loc[5, "pixel17"] = np.nan
    frame.to_csv(tmp_path / "fashion.csv", index=False)
    outcome = predict(tmp_path / "fashion.csv", batch_size=16)
    rows = outcome.by_key()
    for row, (index, score) in enumerate(expected(array)):
        if row == 5:
            continue
        assert rows[f"fashion.csv#{row}"]["class_index"] == index
        assert rows[f"fashion.csv#{row}"]["score"] == pytest.approx(score, abs=1e-6)
    (letter,) = outcome.dead_letters
    assert letter == {
        "key": "fashion.csv#5",
        "error": "ValueError: a pixel is missing or not finite",
        "source": f"{tmp_path / 'fashion.csv'} row 5",
    }


def test_an_integer_beyond_every_float_is_a_cell_like_any_other(read):
    large = 10**400
    text = "n,m\n" + "1,1\n" * 20 + f"{large},2\n{-large},3\n"
    frame, letters = read(text)
    assert letters == {}
    assert frame["n"].iloc[-2:].tolist() == [large, -large]
