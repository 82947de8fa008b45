"""Blocks as JSON Lines; test_files.py covers the other formats."""

import csv
import datetime
import io
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from pandas.arrays import ArrowExtensionArray

from template.sinks.encoding import arrow_table, csv_rows, encode_block, json_lines
from template.sinks.json_values import dump_json


def test_json_lines_are_what_json_reads():
    block = pd.DataFrame(
        {
            "key": ['"},{"key":', "é\n", "z"],
            "i": np.array([1, 2, 3], dtype=np.int8),
            "f": np.array([0.5, np.nan, np.inf], dtype=np.float32),
            "b": [True, False, True],
            "o": [None, pd.NA, pd.NaT],
            "t": pd.to_datetime(["2026-01-01", None, "2026-01-03"]),
            "l": [np.arange(2), [np.float32(0.5)], torch.tensor([1])],
            "d": [{"key": 1}, [{"key": 1}, {"key": 2}], datetime.date(2026, 1, 1)],
        }
    )
    rows = [json.loads(line) for line in json_lines(block).decode().splitlines()]
    assert [row["key"] for row in rows] == ['"},{"key":', "é\n", "z"]
    assert [row["f"] for row in rows] == [0.5, None, "Infinity"]
    assert [row["o"] for row in rows] == [None, None, None]
    assert [row["t"] for row in rows] == ["2026-01-01T00:00:00", None, "2026-01-03T00:00:00"]
    assert [row["l"] for row in rows] == [[0, 1], [0.5], [1]]
    assert [row["d"] for row in rows] == [{"key": 1}, [{"key": 1}, {"key": 2}], "2026-01-01"]
    assert rows[0]["i"] == 1
    assert rows[0]["b"] is True
    assert json_lines(block.iloc[:0]) == b""


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ({"a"}, "a set, which JSON cannot hold"),
        ("\ud800", "surrogates"),
        ({(1, 2): 3}, "Dict key"),
    ],
)
def test_what_json_cannot_hold_is_a_dead_letter_among_lines(cell, reason):
    cells = pd.Series([1, cell, [2]], dtype=object)
    first, letter, last = encode_block(pd.DataFrame({"key": list("abc"), "v": cells}), json_lines)
    assert (first, last) == (b'{"key":"a","v":1}\n', b'{"key":"c","v":[2]}\n')
    assert (letter.key, letter.source) == ("b", "b")
    assert reason in letter.error


def test_tensors_and_arrays_in_cells_are_lists_in_every_form():
    block = pd.DataFrame(
        {
            "key": ["x", "y"],
            "t": [torch.tensor([0.5]), torch.tensor([1.5], dtype=torch.bfloat16)],
            "a": [np.array([[1, 2]]), np.array([[3, 4]])],
        }
    )
    rows = [{"key": "x", "t": [0.5], "a": [[1, 2]]}, {"key": "y", "t": [1.5], "a": [[3, 4]]}]
    assert arrow_table(block).to_pylist() == rows
    assert [json.loads(line) for line in json_lines(block).splitlines()] == rows
    assert csv_rows(block).fields == {
        "key": ["x", "y"],
        "t": ["[0.5]", "[1.5]"],
        "a": ['"[[1,2]]"', '"[[3,4]]"'],
    }


def test_a_csv_field_is_read_as_it_was_written():
    cells = ["a", "", None, 'q"', "x,y", "p\rq", "r\ns", "\r\n", " s "]
    block = pd.DataFrame({"key": range(len(cells)), "v": pd.Series(cells, dtype=object)})
    fields = csv_rows(block).fields["v"]
    text = "".join(f"{field},0\n" for field in fields)
    assert [row[0] for row in csv.reader(io.StringIO(text, newline=""))] == [
        cell or "" for cell in cells
    ]
    assert fields[:3] == ["a", '""', ""]


@pytest.mark.parametrize(
    "cells",
    [
        np.array([True, False]),
        np.array([-128, 127], dtype=np.int8),
        np.array([0, 2**64 - 1], dtype=np.uint64),
        np.array([0.1, np.nan, np.inf, -0.0], dtype=np.float16),
        np.array([0.1, np.nan, -np.inf, 3.4e38], dtype=np.float32),
        np.array([0.1, np.nan, np.inf, -0.0, 1e300, 5e-324, 1e16, 123456789.0]),
        np.array([0.1, np.nan], dtype=np.longdouble),
        np.array(["a", "\U0001f600 ", " 1"], dtype=object),
        *(np.array(["a", odd], dtype=object) for odd in ("", "b,c", '"', "\r", "\n")),
    ],
)
def test_csv_has_the_same_fields_for_a_column_as_for_its_cells(cells):
    column = pd.Series(cells)
    mixed = pd.Series([*column.tolist(), None], dtype=object)  # is written cell by cell
    fields = [csv_rows(pd.DataFrame({"key": each})).fields["key"] for each in (column, mixed)]
    assert [*fields[0], ""] == fields[1]


def test_csv_writes_each_type_in_one_way():
    row = {
        "key": "k",
        "f": 0.1,
        "i": 2**63,
        "b": True,
        "n": np.float32(0.5),
        "d": Decimal("1.50"),
        "r": b"\xff",
        "t": pd.Timestamp("2026-01-01"),
        "s": pd.NaT,
    }
    block = pd.DataFrame({name: pd.Series([value], dtype=object) for name, value in row.items()})
    expected = "k,0.1,9223372036854775808,True,0.5,1.50,/w==,2026-01-01T00:00:00,"
    assert ",".join(field for (field,) in csv_rows(block).fields.values()) == expected
    block["t"] = pd.to_datetime(block["t"])
    assert ",".join(field for (field,) in csv_rows(block).fields.values()) == expected


@pytest.mark.parametrize(
    "cell", [{"a"}, object(), 1j, pd.Period("2026-01")], ids=lambda cell: type(cell).__name__
)
def test_what_csv_cannot_hold_is_a_dead_letter_and_no_text_of_an_object(cell):
    cells = np.array([1, None], dtype=object)
    cells[1] = cell
    first, letter = encode_block(pd.DataFrame({"key": ["a", "b"], "v": cells}), csv_rows)
    assert (first.fields, letter.key) == ({"key": ["a"], "v": ["1"]}, "b")
    assert f"a {type(cell).__name__}, which" in letter.error


@pytest.mark.parametrize(
    "cells",
    [
        np.array([np.inf, -np.inf, np.nan]),
        np.array([np.inf, -np.inf, np.nan], dtype=np.float32),
        pd.Series([np.inf, -np.inf, pd.NA], dtype="Float64"),
        pd.Series([np.inf, -np.inf, None], dtype="double[pyarrow]"),
        pd.Series([np.inf, -np.inf, np.nan], dtype="category"),
        pd.Series([np.inf, -np.inf, None], dtype=object),
        pd.Series([Decimal("Infinity"), Decimal("-Infinity"), Decimal("NaN")], dtype=object),
    ],
    ids=lambda cells: str(cells.dtype),
)
def test_infinities_are_texts_in_json_and_nan_is_null(cells):
    block = pd.DataFrame({"key": list("abc"), "v": cells})
    rows = [json.loads(line) for line in json_lines(block).splitlines()]
    assert [row["v"] for row in rows] == ["Infinity", "-Infinity", None]


@pytest.mark.parametrize(
    "cell",
    [
        [np.inf, None, [-np.inf]],
        (np.inf, np.nan, np.array([-np.inf])),
        np.array([np.inf, np.nan, -np.inf]),
        torch.tensor([np.inf, np.nan, -np.inf]),
        {"a": np.float32(np.inf), "b": None, "c": -np.inf},
    ],
    ids=lambda cell: type(cell).__name__,
)
def test_infinities_in_cells_are_texts(cell):
    block = pd.DataFrame({"key": ["x"], "v": pd.Series([cell], dtype=object)})
    text = json_lines(block).decode()
    assert text.count('"Infinity"') == text.count('"-Infinity"') == text.count("null") == 1
    fields = csv_rows(block).fields["v"]
    assert json.loads(next(csv.reader(fields))[0]) == json.loads(text)["v"]


def test_every_number_is_written_with_all_its_digits():
    numbers = [
        2**70,
        -(2**64),
        2**63,
        2**53 + 1,
        Decimal("1.10"),
        Decimal("123123123123123123123123"),
    ]
    block = pd.DataFrame({"key": list("abcdef"), "v": pd.Series(numbers, dtype=object)})
    lines = json_lines(block).decode().splitlines()
    assert [line.partition('"v":')[2] for line in lines] == [f"{number}}}" for number in numbers]
    assert csv_rows(block).fields["v"] == [str(number) for number in numbers]
    nested = pd.DataFrame({"key": ["x"], "v": [{"a": [2**70]}]})
    assert json_lines(nested) == b'{"key":"x","v":{"a":[%d]}}\n' % 2**70
    assert arrow_table(block.iloc[:1])["v"].to_pylist() == [Decimal(2**70)]


def test_integers_with_gaps_are_integers_in_csv():
    cells = pd.Series([2, None, 2**60], dtype=object)
    for column in (cells, cells.astype("Int64"), cells.astype("int64[pyarrow]")):
        rows = csv_rows(pd.DataFrame({"key": list("abc"), "v": column}))
        assert rows.fields["v"] == ["2", "", "1152921504606846976"]


def test_times_that_are_passed_through_keep_their_nanoseconds():
    times = pa.array([1_234_567, None], pa.int64()).view(pa.time64("ns"))
    lists = pa.ListArray.from_arrays([0, 1, 2], times)
    cells = {"t": times, "l": lists}
    columns = {name: ArrowExtensionArray(pa.chunked_array([each])) for name, each in cells.items()}
    block = pd.DataFrame({"key": ["a", "b"], **columns})
    assert [json.loads(line) for line in json_lines(block).splitlines()] == [
        {"key": "a", "t": "00:00:00.001234567", "l": ["00:00:00.001234567"]},
        {"key": "b", "t": None, "l": [None]},
    ]
    assert csv_rows(block).fields["t"] == ["00:00:00.001234567", ""]
    assert arrow_table(block).column("t").type == pa.time64("ns")


FIRST, OTHER = pd.Timestamp("2020-01-01T00:00:00.123456789"), pd.Timestamp("2021-01-01")
TIMES = np.array(["2020-01-01T00:00:00.123456789", "NaT"], dtype="datetime64[ns]")


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        (FIRST, "2020-01-01T00:00:00.123456789"),
        (TIMES[0], "2020-01-01T00:00:00.123456789"),
        ([FIRST, OTHER], ["2020-01-01T00:00:00.123456789", "2021-01-01T00:00:00"]),
        (TIMES, ["2020-01-01T00:00:00.123456789", None]),
        ({"a": [FIRST, None]}, {"a": ["2020-01-01T00:00:00.123456789", None]}),
        ([FIRST.tz_localize("Europe/Berlin")], ["2020-01-01T00:00:00.123456789+01:00"]),
        (pd.Timedelta(5, "ns"), "P0DT0H0M0.000000005S"),
        (np.array([5, "NaT"], dtype="timedelta64[ns]"), ["P0DT0H0M0.000000005S", None]),
        (2**63, 2**63),
        ([2**63, 2**70, None], [2**63, 2**70, None]),
        ({"a": np.array([2**64 - 1], dtype=np.uint64)}, {"a": [2**64 - 1]}),
        ({"a": np.inf, "b": TIMES[:1]}, {"a": "Infinity", "b": ["2020-01-01T00:00:00.123456789"]}),
    ],
)
def test_a_cell_keeps_all_its_digits(cell, written):
    cells = pd.Series([None, None], dtype=object)
    cells[1] = cell
    block = pd.DataFrame({"key": ["a", "b"], "v": cells})
    assert [json.loads(line)["v"] for line in json_lines(block).splitlines()] == [None, written]
    field = csv_rows(block).fields["v"][1].strip('"').replace('""', '"')
    assert field == written or json.loads(field) == written
    absent, read = arrow_table(block)["v"].to_pylist()
    assert absent is None
    assert json.loads(dump_json(read)) == written


@pytest.mark.parametrize(
    "cells",
    [
        [datetime.date(2020, 1, 1), pd.Timestamp("2020-01-01T01:00")],
        [Decimal("0.1234567890123456789012"), 0.5],
        [[Decimal("1.10")], [0.5]],
        ["a", b"a"],
        [{"a": "x"}, {"a": b"x"}],
        [pd.Timestamp("2020-01-01", tz="Europe/Berlin"), pd.Timestamp("2020-01-01")],
        [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-01", tz="Europe/Berlin")],
    ],
)
def test_a_cell_does_not_become_what_its_neighbour_is_in_parquet(cells):
    block = pd.DataFrame({"key": ["a", "b"], "v": pd.Series(cells, dtype=object)})
    tables = list(encode_block(block, arrow_table))
    assert [table["v"].to_pylist() for table in tables] == [cells[:1], cells[1:]]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.arrays.SparseArray([0, 0, 7])),
        pd.Series(np.array([0, 0, 7], dtype=">i4")),
        pd.Series(np.array([0, 0, 7], dtype=">f8")),
    ],
    ids=lambda column: str(column.dtype),
)
def test_arrow_takes_sparse_and_big_endian_columns(column):
    table = arrow_table(pd.DataFrame({"key": list("abc"), "v": column}))
    assert table["v"].to_pylist() == [0, 0, 7]


def test_nat_is_missing_among_dates_in_parquet():
    cells = pd.Series([datetime.date(2020, 1, 1), pd.NaT], dtype=object)
    table = arrow_table(pd.DataFrame({"key": ["a", "b"], "v": cells}))
    assert table["v"].to_pylist() == [datetime.date(2020, 1, 1), None]


def test_a_decimal_that_is_no_number_is_missing():
    cells = pd.Series([Decimal("NaN"), Decimal("1.10")], dtype=object)
    block = pd.DataFrame({"key": ["a", "b"], "v": cells})
    assert csv_rows(block).fields["v"] == ["", "1.10"]
    assert [json.loads(line)["v"] for line in json_lines(block).splitlines()] == [None, 1.1]
