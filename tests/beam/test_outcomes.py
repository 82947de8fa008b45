"""The table records what pytest reports about Beam's tests."""

import json

from tests.beam.__main__ import read_outcomes

RECORDS = [
    {"name": "a/ptransform_test.py::PTransformTest::test_flatten", "outcome": "passed", "text": ""},
    {
        "name": "fn_runner.py::TestOnLocalDataflow::test_windowed",
        "outcome": "failed",
        "text": "x\nE   Workflow failed. Causes: refused by name\nfile.py:7: Error",
    },
    {
        "name": "fn_runner.py::TestOnLocalDataflow::test_drain",
        "outcome": "skipped",
        "text": "('file', 7, 'Skipped: drains a batch pipeline')",
    },
]


def test_outcomes_and_reasons(tmp_path):
    path = tmp_path / "outcomes.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    assert read_outcomes(path) == {
        "PTransformTest.test_flatten": {"outcome": "passed"},
        "TestOnLocalDataflow.test_windowed": {
            "outcome": "failed",
            "why": "Workflow failed. Causes: refused by name",
        },
        "TestOnLocalDataflow.test_drain": {
            "outcome": "skipped",
            "why": "drains a batch pipeline",
        },
    }


def test_without_a_report_nothing_ran(tmp_path):
    assert read_outcomes(tmp_path / "none.jsonl") == {}
