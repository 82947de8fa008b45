"""ApplyModel on DataFrames of any kind."""

import uuid

import apache_beam as beam
import numpy as np
import pandas as pd
import pytest
import torch
from apache_beam.ml.inference.base import ModelMetadata
from apache_beam.options.pipeline_options import PipelineOptions

from template.inference import ApplyModel
from template.model import BaseModel


class AddModel(BaseModel):
    """Adds its path, a number, to column ``a``; some values make it raise."""

    def load_model(self, path, **opts):
        return int(path)

    def predict(self, df):
        if (df["a"] < 0).any():
            raise ValueError("a is negative")
        df["a"] += self.ensure_model()  # in place, as users do
        return pd.DataFrame({"sum": df["a"], "device": self.device})


class SmallMemoryModel(AddModel):
    """Has room for three rows, and for no row that is 99."""

    def predict(self, df):
        if len(df) > 3 or 99 in set(df["a"]):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return super().predict(df)


class DroppingModel(AddModel):
    """Drops rows that are 7."""

    def predict(self, df):
        return df.loc[df["a"] != 7, "a"]


class LostGpuModel(AddModel):
    """Loses its GPU."""

    def predict(self, df):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


class KeyModel(AddModel):
    """Returns what it was given."""

    def predict(self, df):
        return df


class LateModel(BaseModel):
    """Has a misspelt ``predict``."""

    def load_model(self, path, **opts):
        return int(path)

    def predit(self, df):
        return df


class ConstantModel(AddModel):
    """Returns three entries, whatever it is given."""

    def predict(self, df):
        return ["cat", "dog", "bird"]


class MeanModel(AddModel):
    """Returns one entry, whatever it is given."""

    def predict(self, df):
        return torch.tensor(df["a"].to_numpy()).float().mean()


def frames(*groups):
    return [pd.DataFrame({"id": [f"r{a}" for a in group], "a": group}) for group in groups]


COLLECTED: dict[str, list] = {}


def collect(element, name):
    COLLECTED[name].append(element)


def run(transform, elements):
    """Apply the transform; return the records of its result, the dead letters, the outcome.

    The runner works in this process, so the arguments of ``collect`` can be read here.
    """
    predictions_name, letters_name = uuid.uuid4().hex, uuid.uuid4().hex
    COLLECTED.update({predictions_name: [], letters_name: []})
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    result = pipeline | beam.Create(elements) | transform
    predictions, letters = result if isinstance(result, tuple) else (result, None)
    _ = predictions | "Collect" >> beam.Map(collect, predictions_name)
    if letters is not None:
        _ = letters | "CollectLetters" >> beam.Map(collect, letters_name)
    outcome = pipeline.run()
    outcome.wait_until_finish()
    records = []
    for frame in COLLECTED[predictions_name]:
        records += frame.to_dict("records")
    return records, COLLECTED[letters_name], outcome


def apply_model(model_class, key_column="id", path="100", **settings):
    return ApplyModel(model=model_class(path), key_column=key_column, device="cpu", **settings)


def test_keys_and_predictions_stand_side_by_side_whatever_the_index():
    element = pd.DataFrame({"id": ["p", "q"], "a": [1, 2]}, index=[7, 3])
    records, _, _ = run(apply_model(AddModel), [element])
    assert records == [
        {"id": "p", "sum": 101, "device": "cpu"},
        {"id": "q", "sum": 102, "device": "cpu"},
    ]


def test_the_key_may_be_several_columns():
    element = pd.DataFrame({"x": ["p"], "y": [2], "a": [1]})
    records, _, _ = run(apply_model(AddModel, key_column=["x", "y"]), [element])
    assert records == [{"x": "p", "y": 2, "sum": 101, "device": "cpu"}]


def test_an_exception_fails_the_job_unless_it_is_handled():
    with pytest.raises(Exception, match="a is negative"):
        run(apply_model(AddModel), frames([1, -1]))


def test_only_the_rows_that_make_predict_raise_are_dead_letters():
    transform = apply_model(AddModel).with_exception_handling()
    elements = frames([1, 2, -3, 4, 5, -6, 7], [8, 9])
    elements[0].attrs["source"] = "gs://b/x.csv"
    elements[0].index += 10
    records, letters, outcome = run(transform, elements)
    assert sorted(record["sum"] for record in records) == [101, 102, 104, 105, 107, 108, 109]
    assert [(letter.key, letter.error, letter.source) for letter in letters] == [
        ("r-3", "ValueError: a is negative", "gs://b/x.csv row 12"),
        ("r-6", "ValueError: a is negative", "gs://b/x.csv row 15"),
    ]
    counters = {
        counter.key.metric.name: counter.committed
        for counter in outcome.metrics().query()["counters"]
    }
    assert counters["predictions"] == 7
    assert counters["dead_letters"] == 2


def test_out_of_memory_halves_the_block():
    transform = apply_model(SmallMemoryModel).with_exception_handling()
    records, letters, _ = run(transform, frames([*range(10), 99]))
    assert [record["sum"] for record in records] == [100 + a for a in range(10)]
    assert [letter.key for letter in letters] == ["r99"]
    assert letters[0].error.startswith("OutOfMemoryError: CUDA out of memory")


def test_a_row_that_predict_drops_is_a_dead_letter():
    transform = apply_model(DroppingModel).with_exception_handling()
    records, letters, _ = run(transform, frames([5, 7, 9]))
    assert [record["a"] for record in records] == [5, 9]
    assert letters[0].error == "EntryCountError: predict returned 0 entries for 1 rows"
    with pytest.raises(Exception, match="predict returned 2 entries for 3 rows"):
        run(apply_model(DroppingModel), frames([5, 7, 9]))


@pytest.mark.parametrize(
    ("model_class", "key_column", "reason"),
    [
        (LostGpuModel, "id", "illegal memory access"),
        (ConstantModel, "id", "predict returned 3 entries for 1 rows: return one for each row"),
        (MeanModel, "id", r"predict returned 1 entries for 2 rows, but 2 \(1 and 1\) for the two"),
        (AddModel, "name", "key_column 'name': the DataFrame has no such column, but id, a"),
    ],
)
def test_what_halving_cannot_cure_fails_the_job(model_class, key_column, reason):
    transform = apply_model(model_class, key_column).with_exception_handling()
    with pytest.raises(Exception, match=reason):
        run(transform, frames([1, 2]))


def test_a_key_column_that_predict_returns_costs_its_rows():
    transform = apply_model(KeyModel).with_exception_handling()
    records, letters, _ = run(transform, frames([1, 2]))
    assert (records, [letter.key for letter in letters]) == ([], ["r1", "r2"])
    assert "a column 'id' that already exists, because id is" in letters[0].error


def test_an_empty_frame_is_no_row():
    transform = apply_model(AddModel).with_exception_handling()
    records, letters, _ = run(transform, frames([], [1]))
    assert [record["sum"] for record in records] == [101]
    assert letters == []


def test_run_inference_counts_rows_and_bytes():
    element = pd.DataFrame({"id": ["p", "q"], "a": np.array([1, 2])})
    _, _, outcome = run(apply_model(AddModel), [element])
    metrics = outcome.metrics().query()
    named = {m.key.metric.name: m.committed for m in metrics["counters"] + metrics["distributions"]}
    assert named["num_inferences"] == 2
    assert named["inference_request_batch_byte_size"].sum == 2 + 16
    assert named["load_model_latency_milli_secs"].count == 1


def test_a_side_input_names_the_model_to_use():
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    name = uuid.uuid4().hex
    COLLECTED[name] = []
    newer = pipeline | "Newer" >> beam.Create([ModelMetadata(model_id="500", model_name="newer")])
    _ = (
        pipeline
        | beam.Create(frames([1, 2]))
        | apply_model(AddModel, model_metadata_pcoll=newer)
        | beam.Map(collect, name)
    )
    pipeline.run().wait_until_finish()
    (frame,) = COLLECTED[name]
    assert frame["sum"].tolist() == [501, 502]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_fails_before_the_first_element():
    CountingModel.calls.clear()
    transform = ApplyModel(model=CountingModel("1"), key_column="id", device="cuda")
    with pytest.raises(Exception, match="--device cuda: this worker has no usable GPU"):
        run(transform.with_exception_handling(), frames([1]))
    assert CountingModel.calls == []


class CountingModel(AddModel):
    """Notes its calls."""

    calls: list = []  # noqa: RUF012  (shared on purpose)

    def predict(self, df):
        self.calls.append(len(df))
        return super().predict(df)


def test_a_name_that_a_later_step_adds_fails_the_job_if_the_model_adds_it():
    transform = apply_model(AddModel, reserved_columns=["message_id", "device"])
    with pytest.raises(Exception, match=r"'device' that .* because id, message_id, device are"):
        run(transform.with_exception_handling(), frames([1]))


def test_a_class_without_predict_fails_the_job_and_not_each_row():
    transform = apply_model(LateModel).with_exception_handling()
    with pytest.raises(Exception, match=r"no predict\(df\), .*\(int\); did you mean 'predit'"):
        run(transform, frames([1]))
