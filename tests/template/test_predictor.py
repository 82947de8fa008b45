"""The counts add up, and one bad row does no harm to others."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from template.blocks import KEY, Block
from template.compute import Compute
from template.dead_letters import DeadLetter
from template.failures import Failures
from template.model import BaseModel
from template.needs.images import stack_images
from template.predict_result import UnusablePredictionError
from template.predictor import Predictor


class Calls(BaseModel):
    """A model that is a function, and records the sizes of its calls."""

    def __init__(self, function):
        super().__init__("-")
        self.function = function
        self.sizes = []

    def predict(self, df):
        self.sizes.append(len(df))
        return self.function(df)


def predictor_of(function, **settings):
    model = Calls(function)
    failures = Failures(**{"gives_up": False, **settings})
    predictor = Predictor(
        model,
        model_id="m",
        key_columns=[KEY],
        reserved_columns=[],
        compute=Compute("cpu"),
        failures=failures,
    )
    return predictor, model


def block_of(values, **attrs):
    frame = pd.DataFrame({"a": values})
    keys = np.array([f"k{number}" for number in range(len(frame))], dtype=object)
    return Block(frame=frame, beside={KEY: keys}, index=frame.index, attrs=attrs)


def outcome_of(parts):
    """Return predictions by key, and errors by key."""
    frames = [part for part in parts if isinstance(part, pd.DataFrame)]
    records = [record for frame in frames for record in frame.to_dict("records")]
    letters = {part.key: part.error for part in parts if isinstance(part, DeadLetter)}
    return {record[KEY]: [*record.values()][1] for record in records}, letters


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda df: ["cat", "dog", "bird"], "3 entries for 1 rows: return one for each row"),
        (lambda df: [df["a"].mean()], r"1 entries for 50 rows, but 2 \(1 and 1\)"),
        (lambda df: torch.tensor(df["a"]).float().mean(), r"1 entries for 50 rows, but 2"),
        (lambda df: df["a"].mean(), r"1 entries for 50 rows, but 2"),
        (lambda df: df["a"].drop_duplicates().to_frame("p"), r"10 entries for 50 rows, but 20"),
        (lambda df: [1] * len(df) * 2, "2 entries for 1 rows: return one for each row"),
        (lambda df: [1] * (len(df) + (len(df) == 50)), "51 entries for 50 rows"),
        (lambda df: "x" * 50, "returned a str"),
    ],
)
def test_a_number_of_entries_that_is_not_that_of_the_rows_fails(function, problem):
    predictor, _ = predictor_of(function)
    with pytest.raises(UnusablePredictionError, match=problem):
        predictor.predict_or_halve(block_of([n % 10 for n in range(50)]))


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7, 8])
@pytest.mark.parametrize("bad", [None, 0, 1])
def test_no_size_that_happens_to_match_is_a_prediction(rows, bad):
    """Three constants, and a list of two columns."""
    for function in (
        lambda df: ["cat", "dog", "bird"],
        lambda df: [df["a"].to_numpy(), df["a"].to_numpy() * 2],
        lambda df: [list(df["a"]), list(df["a"])],
    ):

        def picky(df, function=function):
            if bad in set(df["a"]):
                raise ValueError("bad")
            return function(df)

        predictor, _ = predictor_of(picky)
        if bad is not None and rows <= bad + 1 and bad == 0:
            continue  # the only row is the bad one
        with pytest.raises(UnusablePredictionError, match="predict returned"):
            predictor.predict_or_halve(block_of(range(rows)))


def test_every_model_is_checked_once_on_its_first_row():
    predictor, model = predictor_of(lambda df: df["a"] * 2)
    for _ in range(3):
        found, _ = outcome_of(predictor.predict_or_halve(block_of([1, 2, 3])))
        assert found == {"k0": 2, "k1": 4, "k2": 6}
    assert model.sizes == [1, 3, 3, 3]
    with pytest.raises(UnusablePredictionError, match="3 entries for 1 rows"):
        predictor_of(lambda df: ["cat", "dog", "bird"])[0].predict(block_of([1, 2, 3]))


def test_the_check_does_not_change_what_it_checks():
    buffer = np.zeros(3)
    predictor, _ = predictor_of(lambda df: np.multiply(df["a"], 2, out=buffer[: len(df)]))
    found, _ = outcome_of(predictor.predict_or_halve(block_of([1.0, 2.0, 3.0])))
    assert found == {"k0": 2.0, "k1": 4.0, "k2": 6.0}
    buffer[:] = 0
    frame = predictor_of(lambda df: np.multiply(df["a"], 2, out=buffer[: len(df)]))[0].predict(
        block_of([5.0, 6.0])
    )
    assert frame["a"].tolist() == [10.0, 12.0]


def test_a_model_that_needs_several_rows_may_refuse_one():
    def normalise(df):
        if len(df) < 2:
            raise ValueError("more than 1 value per channel")
        return df["a"] - df["a"].mean()

    found, letters = outcome_of(predictor_of(normalise)[0].predict_or_halve(block_of([1.0, 3.0])))
    assert (found, letters) == ({"k0": -1.0, "k1": 1.0}, {})


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_squeeze_leaves_the_entry_of_one_row(rows):
    predictor, _ = predictor_of(lambda df: torch.tensor(df[["a"]].to_numpy()).squeeze())
    found, letters = outcome_of(predictor.predict_or_halve(block_of(range(rows))))
    assert found == {f"k{number}": number for number in range(rows)}
    assert letters == {}


def test_squeeze_of_the_wrong_axis_fails():
    predictor, _ = predictor_of(lambda df: torch.ones(len(df), 10).squeeze())
    with pytest.raises(UnusablePredictionError, match="10 entries for 1 rows"):
        predictor.predict_or_halve(block_of([1, 2]))


def test_rows_that_predict_drops_are_dead_letters():
    predictor, _ = predictor_of(lambda df: df.loc[df["a"] != 7, "a"].to_numpy().squeeze())
    found, letters = outcome_of(predictor.predict_or_halve(block_of([7, 7, 5, 9, 7])))
    assert found == {"k2": 5, "k3": 9}
    assert set(letters.values()) == {"EntryCountError: predict returned 0 entries for 1 rows"}


class UnreadableError(Exception):
    """An exception with a message that raises."""

    def __str__(self):
        raise RuntimeError("no message")


PanicException = type("PanicException", (BaseException,), {})  # as pyo3 makes it


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (PanicException("index out of bounds"), "PanicException: index out of bounds"),
        (UnreadableError(), "UnreadableError: (its message cannot be read: RuntimeError)"),
        (ValueError("x" * 20_000), f"ValueError: {'x' * 10_000}... (20,000 characters)"),
        (ValueError("\ud800"), r"ValueError: \ud800"),
        (GeneratorExit(), "GeneratorExit"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_predict_raises_costs_one_row(error, text):
    def predict(df):
        if 3 in set(df["a"]):
            raise error
        return df["a"]

    found, letters = outcome_of(predictor_of(predict)[0].predict_or_halve(block_of([1, 2, 3, 4])))
    assert found == {"k0": 1, "k1": 2, "k3": 4}
    assert letters == {"k2": text}


def test_ctrl_c_ends_the_program():
    def predict(df):
        import signal

        signal.raise_signal(signal.SIGINT)
        return df["a"]

    with pytest.raises(KeyboardInterrupt):
        predictor_of(predict)[0].predict_or_halve(block_of([1, 2]))


def test_without_exception_handling_a_thread_does_not_end():
    def predict(df):
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match="predict raised SystemExit: 3"):
        predictor_of(predict)[0].predict(block_of([1, 2]))


def test_after_three_blocks_alike_no_block_is_halved_until_a_row_succeeds():
    def predict(df):
        if (df["a"] < 0).any():
            raise ValueError("negative")
        return df["a"]

    predictor, model = predictor_of(predict)
    for _ in range(3):
        predictor.predict_or_halve(block_of([-1] * 8))
    assert len(model.sizes) == 3 * (1 + 15)
    model.sizes.clear()
    for rows in (8, 8, 1):
        _, letters = outcome_of(predictor.predict_or_halve(block_of([-1] * rows)))
        alone = [key for key, error in letters.items() if "not tried alone" not in error]
        assert len(letters) == rows
        assert alone == ([f"k{rows // 2}"] if rows > 1 else ["k0"])
    assert model.sizes == [1, 8, 1, 8, 1]
    assert letters["k0"] == "ValueError: negative"

    found, letters = outcome_of(predictor.predict_or_halve(block_of([-1, 2, 3, -4])))
    assert found == {"k1": 2, "k2": 3}
    assert letters == {"k0": "ValueError: negative", "k3": "ValueError: negative"}
    model.sizes.clear()
    predictor.predict_or_halve(block_of([-1] * 8))
    assert len(model.sizes) == 15


def test_blocks_that_fail_for_different_reasons_are_halved():
    def predict(df):
        if df["a"].iloc[0] % 2:
            raise ValueError("odd")
        raise KeyError("even")

    predictor, model = predictor_of(predict)
    for number in range(5):
        predictor.predict_or_halve(block_of([number] * 4))
    assert len(model.sizes) == 5 * (1 + 7)


def test_a_block_is_tried_whole_even_if_the_one_row_fails():
    def predict(df):
        if len(df) < 3:
            raise ValueError("too few")
        return df["a"]

    predictor, _ = predictor_of(predict)
    for _ in range(3):
        predictor.predict_or_halve(block_of([1, 2]))
    found, letters = outcome_of(predictor.predict_or_halve(block_of([1, 2, 3])))
    assert (found, letters) == ({"k0": 1, "k1": 2, "k2": 3}, {})


def test_a_column_that_is_written_already_fails_unless_a_row_brought_it():
    predictor, model = predictor_of(lambda df: df.assign(key=1))
    with pytest.raises(
        UnusablePredictionError, match="'key' that already exists, because key is written"
    ):
        predictor.predict_or_halve(block_of([1, 2, 3]))
    assert model.sizes == [1]
    predictor, _ = predictor_of(lambda df: df)
    block = replace(block_of([1]), frame=pd.DataFrame({KEY: ["own"]}))
    ((_, error),) = outcome_of(predictor.predict_or_halve(block))[1].items()
    assert error.startswith("TakenColumnError: predict returned a column 'key'")


@pytest.mark.parametrize(
    ("function", "shows_trace"),
    [
        (lambda df: stack_images(pd.DataFrame({"image": []})), False),
        (lambda df: np.linalg.cholesky(-np.eye(2)), True),
    ],
    ids=["of the template about a row", "of the user's code"],
)
def test_a_gap_in_the_data_is_logged_without_the_templates_own_frames(
    function, shows_trace, caplog
):
    predictor, _ = predictor_of(function)
    predictor.predict_or_halve(block_of([1, 2]))
    record = caplog.records[0]
    assert "(logged once; dead letters hold the text)" in record.getMessage()
    assert ("Traceback" in record.getMessage()) is shows_trace
