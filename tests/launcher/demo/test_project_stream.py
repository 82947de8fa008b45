"""The messages that stand for the rows of a project's sample."""

from __future__ import annotations

import json

import pytest

from launcher.demo.project_stream import read_messages
from launcher.errors import InputError


def test_each_row_and_each_image_is_a_message(tmp_path):
    table, lines, image = (tmp_path / name for name in ("t.csv", "l.jsonl", "i.PNG"))
    table.write_text('\ufeffid,age,zip\nc0,30.5,"[1]"\nc1,unknown,\n')
    lines.write_text('{"text": "a"}\n\n{broken\n')
    image.write_bytes(b"png")
    rows, texts, (picture,) = (list(read_messages([each], {})) for each in (table, lines, image))
    assert [(json.loads(payload), kind) for payload, kind in rows] == [
        ({"id": "c0", "age": "30.5", "zip": "[1]"}, "application/json"),
        ({"id": "c1", "age": "unknown", "zip": None}, "application/json"),
    ]
    assert [payload for payload, _ in texts] == [b'{"text": "a"}', b"{broken"]
    assert picture == (b"png", "image/*")


def test_cells_have_the_types_that_the_model_declares(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,zip,age,visits,member\n7,12345,30.50,9007199254740993,yes\n08,,nan,x,2\n")
    types = {"zip": "text", "age": "number", "visits": "integer", "member": "boolean"}
    first, second = (json.loads(payload) for payload, _ in read_messages([path], types))
    whole = 9_007_199_254_740_993
    assert first == {"id": "7", "zip": "12345", "age": 30.5, "visits": whole, "member": True}
    assert second == {"id": "08", "zip": None, "age": None, "visits": "x", "member": "2"}


def test_a_column_of_numbers_is_one_if_nothing_is_declared(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("n,mixed,infinite\n1,1,inf\n2.5,1_0,1\n,2,2\n")
    assert [json.loads(payload) for payload, _ in read_messages([path], {})] == [
        {"n": 1, "mixed": "1", "infinite": "inf"},
        {"n": 2.5, "mixed": "1_0", "infinite": "1"},
        {"n": None, "mixed": "2", "infinite": "2"},
    ]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no.csv", "no such file"),
        ("a.bin", "only CSV, JSON Lines and images"),
        ("wide.csv", "a row has more fields than the header"),
    ],
)
def test_other_files_are_refused(name, problem, tmp_path):
    (tmp_path / "a.bin").touch()
    (tmp_path / "wide.csv").write_text("a,b\n1,2,3\n")
    with pytest.raises(InputError, match=problem):
        list(read_messages([tmp_path / name], {}))
