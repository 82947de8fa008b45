"""The header of CSV files: names, delimiters, and files without a usable header."""

import gzip
import io
import time

import pandas as pd
import pytest

from template.sources.streams import UnreadableError


def test_header_names_follow_pandas(read_csv):
    text = "a,a,,b,a\n1,2,3,4,5\n"
    frame, _ = read_csv(text)
    assert list(frame.columns)[1:] == list(pd.read_csv(io.StringIO(text)).columns)


GZIPPED_TWICE = gzip.compress(gzip.compress(b"a\n1\n", mtime=0), mtime=0)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(read_csv, delimiter):
    text = 'a,b,c\n1,"x,;\t|",2\n3,"y\nz",4\n'.replace(",", delimiter)
    for given in (None, delimiter):
        frame, letters = read_csv(text, csv_delimiter=given)
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
def test_a_delimiter_is_found(read_csv_schema, text, columns):
    assert read_csv_schema(text) == columns


def test_a_header_may_hold_newlines_and_begin_with_a_mark(read_csv):
    frame, letters = read_csv(b'\xef\xbb\xbf"a\r\n1","b, ""c""\n",d\n1,2,3\n')
    assert letters == {}
    assert list(frame.columns) == ["key", "a\r\n1", 'b, "c"\n', "d"]
    assert frame.iloc[0].tolist() == ["t.csv#0", 1, 2, 3]


def test_a_header_of_many_equal_names_takes_no_time(read_csv_schema):
    started = time.perf_counter()
    names = read_csv_schema(",".join(["a"] * 5000) + "\n" + ",".join(["1"] * 5000) + "\n")
    assert names == ["a", *(f"a.{number}" for number in range(1, 5000))]
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    "header", ["a,a.1,a,a", "a,a,a.1", "a.1,a,a", ",a,,Unnamed: 0", "a.1,a.1,a,a,a"]
)
def test_equal_names_follow_pandas(read_csv_schema, header):
    text = header + "\n" + ",".join("1" * len(header.split(","))) + "\n"
    assert read_csv_schema(text) == list(pd.read_csv(io.StringIO(text)).columns)


@pytest.mark.parametrize(
    ("text", "key_column", "reason"),
    [
        ("order_id\n1\n", "orderid", "key_column names; did you mean 'order_id'"),
        ("a,b\n1,2\n", "id", "no column 'id', which key_column names; its columns: a, b"),
        ("a,b\r1,2\r3,4\r", None, "carriage returns only"),
        (b"sep=\xe4\na\xe4b\n", None, "name a delimiter in ASCII"),
        ("a,b\n1,2\n".encode("utf-16"), None, "encoded in UTF-16"),
        (b"PK\x03\x04\n", None, "a ZIP file, as Excel workbooks are"),
        (b"a,\xff\n1,2\n", None, "its header line is not UTF-8"),
        (GZIPPED_TWICE, None, "compressed with gzip twice"),
    ],
)
def test_a_header_that_cannot_be_used_says_why(read_csv, text, key_column, reason):
    with pytest.raises(UnreadableError, match=reason):
        read_csv(text, key_column=key_column)
