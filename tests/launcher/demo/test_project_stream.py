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
    rows, texts, (picture,) = (list(read_messages([each])) for each in (table, lines, image))
    assert [(json.loads(payload), kind) for payload, kind in rows] == [
        ({"id": "c0", "age": 30.5, "zip": "[1]"}, "application/json"),
        ({"id": "c1", "age": "unknown", "zip": None}, "application/json"),
    ]
    assert [payload for payload, _ in texts] == [b'{"text": "a"}', b"{broken"]
    assert picture == (b"png", "image/*")


@pytest.mark.parametrize(
    ("name", "problem"), [("no.csv", "no such file"), ("a.bin", "only CSV, JSON Lines and images")]
)
def test_other_files_are_refused(name, problem, tmp_path):
    (tmp_path / "a.bin").touch()
    with pytest.raises(InputError, match=problem):
        list(read_messages([tmp_path / name]))
