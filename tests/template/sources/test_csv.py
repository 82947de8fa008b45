"""CSV files: rows, keys, rows that do not parse, splits."""

import time

import numpy as np
import pandas as pd
import pytest

from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.sources import csv as csv_source
from template.sources.streams import ReadSettings
from tests.template.support import join_blocks


def test_columns_keys_and_row_numbers(read_csv):
    frame, letters = read_csv("a,b,c\n1,x,2.5\n2,,3\n,y,\n")
    assert letters == {}
    assert list(frame.columns) == ["key", "a", "b", "c"]
    assert frame["key"].tolist() == ["t.csv#0", "t.csv#1", "t.csv#2"]
    assert frame.index.tolist() == [0, 1, 2]
    assert frame["a"].tolist()[:2] == [1.0, 2.0]
    assert np.isnan(frame["a"].iloc[2])
    assert frame["b"].tolist() == ["x", None, "y"]
    assert frame["a"].dtype == frame["c"].dtype == np.float64


def test_bom_crlf_quotes_blank_lines_and_no_last_newline(read_csv):
    frame, letters = read_csv(b'\xef\xbb\xbfa,b\r\n1,"x, ""y""\nz"\r\n\r\n2,w\r\n\n3,last')
    assert letters == {}
    assert list(frame.columns) == ["key", "a", "b"]
    assert frame["b"].tolist() == ['x, "y"\nz', "w", "last"]
    assert frame["key"].tolist() == ["t.csv#0", "t.csv#1", "t.csv#2"]


@pytest.mark.parametrize("text", ["", "\n\n", "a,b\n", "a,b"])
def test_no_rows(read_csv, text):
    frame, letters = read_csv(text)
    assert frame.empty
    assert letters == {}


def test_rows_that_do_not_parse_are_dead_letters(read_csv):
    frame, letters = read_csv("a,b\n1,x\n2\n3,y,z\n5,v\n")
    assert frame["a"].tolist() == [1.0, 5.0]
    assert frame.index.tolist() == [0, 3]
    assert letters == {
        " row 1": "ValueError: 1 fields instead of 2: '2'",
        " row 2": "ValueError: 3 fields instead of 2: '3,y,z'",
    }


def test_bytes_that_are_not_utf8_cost_one_row(read_csv):
    frame, letters = read_csv(b"a,b\n1,x\n2,\xff\n3,z\n")
    assert frame["a"].tolist() == [1.0, 3.0]
    assert letters == {" row 1": r"ValueError: column 'b': b'\xff' is not UTF-8"}


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_fields_too_many_that_are_not_utf8_cost_one_row_and_print_nothing(read_csv, capfd):
    frame, letters = read_csv(b"a,b\n1,x\n2,y,\xff\n3,z\n4\n")
    assert frame["a"].tolist() == [1.0, 3.0]
    assert list(letters) == [" row 1", " row 3"]
    assert "Expected 2 columns, got 3" in letters[" row 1"]
    assert "1 fields instead of 2: '4'" in letters[" row 3"]
    assert capfd.readouterr().err == ""


def test_a_lone_carriage_return_costs_one_row(read_csv):
    lines = [f"{row},x" for row in range(50)]
    lines[20] = "20,x\ry"
    frame, letters = read_csv("a,b\n" + "\n".join(lines) + "\n")
    assert len(frame) == 49
    assert frame["key"].iloc[20] == "t.csv#21"
    assert list(letters) == [" row 20"]


@pytest.mark.filterwarnings("error")
def test_many_columns_of_texts_and_numbers_keep_their_order(read_csv_blocks):
    names = [f"c{number}" for number in range(3000)]
    text = ",".join(names) + "\n" + (",".join(["x", "1", "y"] * 1000) + "\n") * 5
    started = time.process_time()
    (block,) = read_csv_blocks(text)
    assert time.process_time() - started < 5
    assert list(block.frame.columns) == names
    assert block.frame.iloc[4].tolist() == ["x", 1.0, "y"] * 1000


def test_key_column(read_csv):
    frame, letters = read_csv("id,a\n007,1\n,2\n9,3\n", key_column="id")
    assert frame["key"].tolist() == ["007", "9"]
    assert list(frame.columns) == ["key", "a"]
    assert letters == {" row 1": "ValueError: no value in the key column 'id'"}
    frame, _ = read_csv("key,a\nx,1\n", key_column="key")
    assert frame.to_dict("records") == [{"key": "x", "a": 1.0}]
    frame, _ = read_csv("a,id,b,n\np,x,q,1\n", key_column="id")
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


def test_an_open_quote_costs_the_rest_of_the_file(read_csv):
    frame, letters = read_csv('a,b\n1,x\n2,"y\n3,z\n')
    assert frame["a"].tolist() == [1.0]
    assert list(letters) == [" rows 1-"]
    assert "a quoted field is not closed" in letters[" rows 1-"]


def test_gzip_gives_the_same_rows(read_csv):
    text = "a,b\n" + "".join(f'{row},"{row}\n,"\n' for row in range(2500)) + "bad\n"
    plain, plain_letters = read_csv(text)
    zipped, zipped_letters = read_csv(text, "T.CSV.GZ")
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
