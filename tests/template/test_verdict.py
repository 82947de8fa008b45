"""Which runs are failures."""

import json

import pytest

from template.model import BaseModel
from template.run import run
from template.verdict import RunCounts, judge


@pytest.mark.parametrize(
    ("predictions", "dead_letters", "share", "fails"),
    [
        (0, 0, None, False),
        (0, 0, 0, False),
        (5, 0, 0, False),
        (0, 5, None, True),
        (1, 999, None, False),
        (0, 5, 1, False),
        (1, 1, 0.5, False),
        (1, 2, 0.5, True),
        (999, 1, 0, True),
        (0, 1, 0.99, True),
    ],
)
def test_a_share_decides(predictions, dead_letters, share, fails):
    counts = RunCounts(predictions=predictions, dead_letters=dead_letters, reasons={"E": 1})
    assert bool(judge(counts, share)) is fails


def test_the_message_has_the_counts_and_the_most_frequent_reasons():
    counts = RunCounts(
        predictions=1,
        dead_letters=2003,
        unread_files=2,
        reasons={"KeyError: 'age'": 2000, "A\n- try this": 1, "B": 1, "C": 1},
    )
    assert judge(counts, 0.25) == (
        "2,003 of the 2,004 rows read are dead letters, a share of 0.9995, but "
        "max_dead_letter_share is 0.25; 2 of them are files that could not be read at all. "
        "Most frequent reasons: 2,000 x KeyError: 'age'; 1 x A; 1 x B"
    )


class Picky(BaseModel):
    """Predicts the rows that contain "good"."""

    def load_model(self, path, **opts):
        return True

    def predict(self, df):
        if (df["a"] != "good").any():
            raise ValueError("not good")
        return [1] * len(df)


@pytest.fixture
def table(tmp_path):
    def write(*cells):
        path = tmp_path / "t.csv"
        path.write_text("\n".join(["a", *cells]) + "\n")
        return path

    return write


def test_a_run_that_predicts_no_row_fails_and_keeps_its_outputs(predict, table, tmp_path):
    outcome = predict(table("x", "y", "z"), model_class=Picky, max_dead_letter_share=None)
    output = f"{tmp_path}/out/result"
    assert (
        "none of the 3 rows read was predicted. Most frequent reasons: 3 x ValueError: not good. "
        f"The dead letters are in {output}-errors-*.jsonl, the record of the run in "
        f"{output}-run.json"
    ) in outcome.failure
    assert outcome.record["status"] == "FAILED"
    assert outcome.record["verdict"] in outcome.failure
    assert len(outcome.dead_letters) == 3


@pytest.mark.parametrize(
    ("share", "fails"), [(None, False), (0.49, True), (0.5, False), (0, True), (1, False)]
)
def test_the_limit_is_the_share_of_dead_letters(predict, table, share, fails):
    outcome = predict(table("good", "bad"), model_class=Picky, max_dead_letter_share=share)
    assert (outcome.failure is not None, outcome.record["status"]) == (
        fails,
        "FAILED" if fails else "DONE",
    )
    assert [row["prediction"] for row in outcome.predictions] == [1]


def test_an_empty_input_is_a_success(predict, table):
    outcome = predict(table(), model_class=Picky, max_dead_letter_share=None)
    assert (outcome.failure, outcome.record["status"]) == (None, "DONE")
    assert outcome.record["counts"]["rows_read"] == 0


def test_files_that_could_not_be_read_are_counted(predict, tmp_path):
    (tmp_path / "a.csv").write_text("a\ngood\n")
    (tmp_path / "b.csv").write_bytes("a\n1\n".encode("utf-16"))
    (tmp_path / "c.csv.gz").write_bytes(b"no gzip")
    (tmp_path / "d.txt").write_text("text")
    (tmp_path / "e.png").write_text("no image")  # a row, not a file of rows
    (tmp_path / "f.csv").write_text('a\ngood\n"open\n')  # a part of it is read
    outcome = predict(tmp_path / "*.*", model_class=Picky, max_dead_letter_share=None)
    assert outcome.failure is None
    assert outcome.record["counts"] == {
        "rows_read": 7,
        "predictions": 2,
        "dead_letters": 5,
        "unread_files": 3,
    }


def test_a_launch_without_dataflow_ends_with_the_verdict_and_no_trace(table, tmp_path, capfd):
    flags = [f"--input={table('x')}", f"--output={tmp_path}/out/p", "--model_path=none"]
    assert run(["--runner=FnApiRunner", f"--model_class={__name__}:Picky", *flags]) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("none of the 1 rows read was predicted. Most frequent reasons: 1 x Val")
    assert last.endswith(f"the record of the run in {tmp_path}/out/p-run.json")
    assert json.loads((tmp_path / "out" / "p-run.json").read_text())["status"] == "FAILED"
