"""Odd tables, written by other libraries, read through the sources and compared cell by cell."""

import csv
import io
import json
import math

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.messages import Message, Messages
from template.sinks.encoding import csv_header, csv_rows, json_lines
from template.sources.csv import split_csv
from template.sources.json_objects import make_frames
from template.sources.jsonl import split_jsonl
from template.sources.messages import MessageSettings, decode_message
from template.sources.streams import ReadSettings

ODD = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
INTEGERS = st.integers(-(2**66), 2**66) | st.integers(2**53 - 3, 2**53 + 3) | st.integers(-9, 9)
NUMBER_TEXT = (
    INTEGERS.map(str)
    | st.floats(allow_nan=False).map(repr)
    | st.from_regex(r"[ ]?[+-]?[0-9]{0,3}\.?[0-9]{0,3}([eE][+-]?[0-9]{1,2})?[ ]?", fullmatch=True)
    | st.sampled_from(
        ["", " ", "NA", "nan", "NULL", "inf", "-Infinity", "1_0", "0x1", "00501", "1,5"]
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXT, values, max_size=3),
    max_leaves=6,
)


def read(path, split, **more):
    """Return the rows by number, each a dict of its cells, and the dead letters by source."""
    options = ReadSettings(**{"batch_size": 3, **more})
    file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
    rows, letters = {}, {}
    for each in split(file, options):
        for part in [each] if isinstance(each, DeadLetter) else each.read(options):
            if isinstance(part, DeadLetter):
                letters[part.source] = part.error
                continue
            for position, row in enumerate(part.index):
                rows[row] = {name: column.iloc[position] for name, column in part.frame.items()}
    return rows, letters


def assert_cell(found, expected):
    """Compare a cell with the value that it represents, digit by digit."""
    if expected is None:
        assert found is None or (isinstance(found, float) and math.isnan(found))
    else:
        assert not isinstance(found, float) or isinstance(expected, float) or abs(expected) <= 2**53
        assert found == expected


@ODD
@given(data=st.data(), columns=st.integers(1, 4), quoting=st.sampled_from([0, 1]))
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_is_what_pandas_reads(tmp_path, data, columns, quoting, delimiter):
    rows = data.draw(st.lists(st.tuples(*[NUMBER_TEXT | TEXT] * columns), min_size=1, max_size=12))
    names = [f"c{n}" for n in range(columns)]
    stream = io.StringIO()
    if any("\r" in cell for row in rows for cell in row):  # which the csv module does not quote
        quoting = csv.QUOTE_ALL
    writer = csv.writer(stream, delimiter=delimiter, quoting=quoting, lineterminator="\n")
    writer.writerows([names, *rows])
    path = tmp_path / "t.csv"
    path.write_bytes(stream.getvalue().encode())
    found, letters = read(path, split_csv, csv_delimiter=delimiter)
    texts = pd.read_csv(
        path,
        sep=delimiter,
        dtype=str,
        keep_default_na=False,
        quoting=quoting,
        engine="python",
        skip_blank_lines=False,
    )
    assert letters == {}
    assert len(found) == len(texts)
    for row, cells in found.items():
        for name in names:
            text = texts[name].iloc[row]
            cell = cells[name]
            if isinstance(cell, str) or cell is None:
                assert (cell or "") == text
            else:
                assert_cell(cell, as_pandas_reads_it(text))


def as_pandas_reads_it(text):
    """Return the number that a cell is in a column of numbers, or None."""
    if not text.strip(" \t\n\r\v\f"):
        return None
    column = pd.read_csv(io.StringIO(f'a,b\n"{text.strip()}",x\n'), float_precision="round_trip")[
        "a"
    ]
    value = column.iloc[0]
    if pd.isna(value):
        return None
    if column.dtype.kind in "iu":
        return int(value)
    try:
        return int(text)  # which pandas keeps as text, because int64 is too small
    except ValueError:
        assert column.dtype.kind == "f", f"pandas reads {text!r} as text"
        return float(value)


@ODD
@given(st.lists(st.dictionaries(st.sampled_from("abc"), JSON, max_size=3), max_size=12))
def test_json_lines_are_what_python_reads(tmp_path, records):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    found, letters = read(path, split_jsonl)
    assert letters == {}
    assert sorted(found) == list(range(len(records)))
    for row, record in enumerate(records):
        assert set(found[row]) == set(record)
        for name, value in record.items():
            assert_json(found[row][name], value)


def assert_json(found, value):
    if isinstance(value, list | dict | str):
        assert found == value
        assert repr(found) == repr(value)  # 1 and 1.0 and True
    else:
        assert_cell(found, value)
        assert isinstance(found, bool) == isinstance(value, bool) or "bool" in type(found).__name__


@ODD
@given(st.lists(st.fixed_dictionaries({"a": JSON, "b": JSON}), min_size=1, max_size=12))
def test_a_message_is_the_same_whatever_it_is_batched_with(records):
    batch = [
        Message(json.dumps(record).encode(), {}, f"id-{number}", 0.0)
        for number, record in enumerate(records)
    ]
    rows = [decode_message(message, MessageSettings()).columns for message in Messages(batch)]
    seen = 0
    for frame, group in make_frames(rows):
        for position, row in enumerate(group.rows):
            seen += 1
            for name, value in records[row].items():
                assert_json(frame[name].iloc[position], value)
    assert seen == len(records)


CELLS = INTEGERS | st.floats() | TEXT | st.none() | st.lists(INTEGERS | st.floats(), max_size=3)


@ODD
@given(st.lists(st.tuples(TEXT, CELLS), min_size=1, max_size=8))
def test_what_is_written_is_read_again(rows):
    block = pd.DataFrame({"key": [key for key, _ in rows]})
    block["v"] = pd.Series([cell for _, cell in rows], dtype=object)
    lines = json_lines(block).decode().removesuffix("\n").split("\n")
    assert [json.loads(line) for line in lines] == [
        {"key": key, "v": as_json(cell)} for key, cell in rows
    ]
    encoded = csv_rows(block)
    text = csv_header(list(encoded.fields)).decode() + "".join(
        ",".join(fields) + "\n" for fields in zip(*encoded.fields.values(), strict=True)
    )
    parsed = list(csv.reader(io.StringIO(text, newline="")))
    assert parsed[0] == ["key", "v"]
    assert [row[0] for row in parsed[1:]] == [key for key, _ in rows]
    for (_, cell), (_, field) in zip(rows, parsed[1:], strict=True):
        if isinstance(cell, float) and not math.isnan(cell):
            assert float(field) == cell
        elif isinstance(cell, list):
            assert json.loads(field) == as_json(cell)
        else:
            assert field == ("" if cell is None or cell != cell else str(cell))


def as_json(cell):
    """Return what JSON makes of a cell."""
    if isinstance(cell, list):
        return [as_json(each) for each in cell]
    if isinstance(cell, float) and not math.isfinite(cell):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(cell)
    return cell
