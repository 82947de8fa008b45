"""When a process stops trying single rows, gives up, and says so."""

import gzip
import logging
from collections import Counter

import apache_beam as beam
import pandas as pd
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from template.blocks import SPLIT, SplitOrigin
from template.failures import NothingPredictedError
from template.inference import ApplyModel
from template.model import BaseModel
from tests.template.test_predictor import block_of, predictor_of


def refuse(df):
    raise ValueError(f"no {df['a'].iloc[0]}")


def failing(**settings):
    """Return a predictor that has stopped halving, after three rows."""
    predictor, _ = predictor_of(refuse, **settings)
    for _ in range(3):
        predict_bad(predictor, "a", 1)
    return predictor


def predict_bad(predictor, split, rows, *, is_only=False):
    block = block_of(["bad"] * rows, **{SPLIT: SplitOrigin(split, is_only)})
    return predictor.predict_or_halve(block)


@pytest.mark.parametrize(
    ("splits", "is_only"), [(["a", "a", "b"], False), (["a", "b", "b"], False), (["a"] * 3, True)]
)
def test_many_rows_of_several_splits_or_the_only_one_without_a_prediction_fail(splits, is_only):
    predictor = failing(gives_up=True)
    predict_bad(predictor, splits[0], 9_996, is_only=is_only)
    predict_bad(predictor, splits[1], 9_999, is_only=is_only)
    with pytest.raises(
        NothingPredictedError,
        match=r"none of 20,000 rows .* reason \(20,000 times\): ValueError: no bad",
    ):
        predict_bad(predictor, splits[2], 2, is_only=is_only)
    with pytest.raises(NothingPredictedError):  # whatever is tried again
        predict_bad(predictor, splits[2], 1, is_only=is_only)


def test_one_split_of_many_is_no_reason_to_give_up():
    predictor = failing(gives_up=True)
    for _ in range(3):
        predict_bad(predictor, "a", 9_999)


def test_one_prediction_is_enough_to_go_on():
    def predict(df):
        return refuse(df) if "bad" in set(df["a"]) else df["a"]

    predictor, _ = predictor_of(predict, gives_up=True)
    predictor.predict_or_halve(block_of(["good"]))
    for number in range(3):
        predict_bad(predictor, number, 1)
    for number in range(3):
        predict_bad(predictor, number, 9_999)


def test_it_can_be_set_never_to_give_up():
    predictor = failing()
    for number in range(3):
        predict_bad(predictor, number, 9_999)


def test_errors_are_logged_once_with_the_models_frames(caplog):
    predictor, _ = predictor_of(refuse)
    for _ in range(2):
        predictor.predict_or_halve(block_of(["p", "q"]))
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    text = record.getMessage()
    assert "predict raised ValueError: no p" in text
    assert "in refuse" in text
    assert "predictor.py" not in text.replace("test_predictor.py", "")


def test_a_process_that_predicts_nothing_says_so_once_a_minute(caplog):
    now = 0.0
    predictor, _ = predictor_of(refuse, clock=lambda: now)
    for now in (0.0, 30.0, 59.0, 61.0, 90.0):  # noqa: B007  (the clock reads it)
        predictor.predict_or_halve(block_of(["p"] * 4))
    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    # In the first minute the warning with the model's frames says this.
    assert errors == [
        "no row of 16 was predicted; the most frequent reason (16 times so far): ValueError: no p"
    ]


def test_a_single_row_is_counted_in_the_singular(caplog):
    predictor, _ = predictor_of(lambda df: [])
    predictor.predict_or_halve(block_of(["p"]))
    (error,) = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert error.startswith(
        "no row of 1 was predicted; the most frequent reason (1 time so far): EntryCountError: "
    )


class Refusing(BaseModel):
    """Cannot predict anything."""

    calls: list = []  # noqa: RUF012  (shared on purpose)

    def load_model(self, path, **opts):
        return True

    def predict(self, df):
        self.calls.append(len(df))
        raise ValueError("never")


@pytest.fixture
def bad_rows(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a\n" + b"1\n" * 24_000, mtime=0))
    return path


def test_a_batch_job_that_can_predict_nothing_fails_early(predict, bad_rows):
    Refusing.calls.clear()
    with pytest.raises(Exception, match=r"none of 20,480 rows was predicted.*ValueError: never"):
        predict(bad_rows, model_class=Refusing, max_dead_letter_share=None)
    assert len(Refusing.calls) == 3 * (1 + 2 * 1024 - 1) + 17 * 2


def test_a_batch_job_that_may_lose_every_row_reads_them_all(predict, bad_rows):
    Refusing.calls.clear()
    outcome = predict(bad_rows, model_class=Refusing, max_dead_letter_share=1)
    assert outcome.counters["dead_letters"] == 24_000
    tried = 3 * 1024 + 24_000 // 1024 - 3 + 1
    assert Counter(letter["error"] for letter in outcome.dead_letters) == {
        "ValueError: never": tried,
        "ValueError: never (not tried alone)": 24_000 - tried,
    }


def test_rows_that_are_not_tried_alone_are_counted():
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    frames = [pd.DataFrame({"id": list("pqrs")})] * 5
    transform = ApplyModel(Refusing("-"), "id", device="cpu").with_exception_handling()
    _ = pipeline | beam.Create(frames) | transform
    result = pipeline.run()
    result.wait_until_finish()
    counters = {
        each.key.metric.name: each.committed for each in result.metrics().query()["counters"]
    }
    assert counters["dead_letters"] == 20
    assert counters["not_tried_alone"] == 2 * 3
