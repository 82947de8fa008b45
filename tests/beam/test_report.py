"""What pytest reports of Beam's tests, as the table has it."""

from tests.beam.__main__ import read_report

REPORT = """<testsuites><testsuite>
<testcase classname="transforms.ptransform_test.PTransformTest" name="test_flatten"/>
<testcase classname="fn_runner.TestOnLocalDataflow" name="test_windowed">
<failure message="Exception: first line&#10;Workflow failed. Causes: refused by name">x</failure>
</testcase>
<testcase classname="fn_runner.TestOnLocalDataflow" name="test_drain">
<skipped message="drains a batch pipeline"/>
</testcase>
</testsuite></testsuites>"""


def test_outcomes_and_reasons(tmp_path):
    path = tmp_path / "report.xml"
    path.write_text(REPORT)
    assert read_report(path) == {
        "PTransformTest.test_flatten": {"outcome": "passed"},
        "TestOnLocalDataflow.test_windowed": {
            "outcome": "failed",
            "why": "Workflow failed. Causes: refused by name",
        },
        "TestOnLocalDataflow.test_drain": {"outcome": "skipped", "why": "drains a batch pipeline"},
    }


def test_without_a_report_nothing_ran(tmp_path):
    assert read_report(tmp_path / "none.xml") == {}
