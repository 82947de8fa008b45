"""Small projects as users write them, wrong and right, with all findings of ``flexpack check``.

Each is a file in ``corpus``: the expected findings, with severity and code, the command's flags,
and the project's files after ``-- NAME --``. Projects in ``right`` have only hints.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from launcher.cli import main
from launcher.finding import CODES

CORPUS = Path(__file__).with_name("corpus")
CASES = sorted(CORPUS.glob("*/*.txt"))


def read_case(path):
    """Return the expected findings, the flags, and the files by name."""
    head, *rest = re.split(r"(?m)^-- (\S+) --\n", path.read_text())
    fields = dict(line.split(":", 1) for line in head.splitlines())
    expected = sorted(filter(None, map(str.strip, fields["expect"].split(","))))
    return expected, fields.get("flags", "").split(), dict(zip(rest[::2], rest[1::2], strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_what_is_found(case, tmp_path, capsys, monkeypatch):
    expected, flags, files = read_case(case)
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    status = main(["check", "--format", "json", *flags])
    output = capsys.readouterr()
    assert output.err == ""
    findings = json.loads(output.out)
    found = sorted({f"{each['severity']} {each['code']}" for each in findings})
    assert found == expected, output.out
    assert status == any(each.startswith("ERROR") for each in expected)


def test_the_corpus_is_large_and_names_codes_that_exist():
    kinds = [path.parent.name for path in CASES]
    assert kinds.count("wrong") >= 40
    assert kinds.count("right") >= 20
    known = {code.name for code in CODES}
    for path in CASES:
        expected = read_case(path)[0]
        assert {each.partition(" ")[2] for each in expected} <= known
        is_wrong = any(not each.startswith("HINT") for each in expected)
        assert path.parent.name == ("wrong" if is_wrong else "right"), path
