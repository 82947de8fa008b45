"""CSV files: columns, types, keys and bad rows."""

import gzip
import io

import numpy as np
import pandas as pd
import pytest

from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.sources import csv as csv_source
from template.sources.streams import ReadSettings, UnreadableError
from tests.template.support import join_blocks


@pytest.fixture
def read(tmp_path):
    """Read text as a CSV file: (all rows as one frame, dead letters by source)."""

    def run(text, name="t.csv", *, key_column=None, batch_size=1000):
        path = tmp_path / name
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)
        settings = ReadSettings(batch_size=batch_size, key_column=key_column)
        file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
        blocks, letters = [], []
        for split in csv_source.split_csv(file, settings):
            parts = [split] if isinstance(split, DeadLetter) else split.read(settings)
            for part in parts:
                (letters if isinstance(part, DeadLetter) else blocks).append(part)
        assert all(len(block) <= batch_size for block in blocks)
        return join_blocks(blocks), {
            letter.source.removeprefix(str(path)): letter.error for letter in letters
        }

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
    frame, letters = read("a,b\n1,x\n2\n3,y,z\nfour,w\n5,v\n")
    assert frame["a"].tolist() == [1.0, 5.0]
    assert frame.index.tolist() == [0, 4]
    assert letters == {
        " row 1": "ValueError: 1 fields instead of 2: '2'",
        " row 2": "ValueError: 3 fields instead of 2: '3,y,z'",
        " row 3": "ValueError: column 'a': 'four' is not a number",
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


def test_the_type_of_a_column_belongs_to_the_file(read):
    text = "a,b\n" + "".join(f"{row},{row}\n" for row in range(3000)) + "x,y\n"
    frame, letters = read(text, batch_size=100)
    assert frame["a"].dtype == np.float64
    assert letters == {" row 3000": "ValueError: column 'a': 'x' is not a number"}
    mostly_text = "a\n" + "x\n" * 60 + "7\n" * 40
    assert set(read(mostly_text)[0]["a"]) == {"x", "7"}


def test_numbers_as_people_write_them(read):
    frame, letters = read("a\n1e3\n 7 \n-.5\n+2\nnan\n1_000\n0x10\n")
    assert frame["a"].tolist()[:4] == [1000.0, 7.0, -0.5, 2.0]
    assert list(letters) == [" row 5", " row 6"]


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
    path.write_text("id,a\nw,0\nx,1\ny,2\nz,three\n,four\n")
    file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
    settings = ReadSettings(batch_size=10, key_column="id")

    (split,) = csv_source.split_csv(file, settings)

    letters = [part for part in split.read(settings) if isinstance(part, DeadLetter)]
    assert [letter.key for letter in letters] == ["z", "t.csv#4"]


@pytest.mark.parametrize(
    ("text", "key_column", "reason"),
    [
        ("a,b\n1,2\n", "id", "no key column 'id'; its columns: a, b"),
        ("a,b\r1,2\r3,4\r", None, "carriage returns alone"),
        ("a,b\n1,2\n".encode("utf-16"), None, "encoded in UTF-16"),
        (b"a,\xff\n1,2\n", None, "its header line is not UTF-8"),
        (gzip.compress(gzip.compress(b"a\n1\n")), None, "compressed with gzip twice"),
        ("a;b\n1;2\n", None, "separated by ';': save it with commas"),
        ("a\tb\n1\t2\n", None, r"separated by '\\t'"),
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
