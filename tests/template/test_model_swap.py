"""Which file is the model, and what happens to one that does not fit."""

import os
import pickle

import pandas as pd
import pytest
import torch
from apache_beam.utils.timestamp import Timestamp

from template.inference import _BlockModelHandler
from template.model import BaseModel
from template.model_swap import INTERVAL_SEC, ModelFile, _WatchDoFn, find_newest


def test_the_newest_file_is_the_model(tmp_path):
    pattern = f"{tmp_path}/m-*.pth"
    assert find_newest(pattern) is None
    for name, age in (("m-2.pth", 50), ("m-1.pth", 100), ("other.pth", 0)):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (1_700_000_000 - age, 1_700_000_000 - age))
    newest = find_newest(pattern)
    assert newest.path == f"{tmp_path}/m-2.pth"
    assert newest.id == f"{tmp_path}/m-2.pth#2023-11-14T22:12:30.000Z"
    assert ModelFile.from_id(newest.id) == newest


class Value:
    """State of one value, or a timer, as Beam gives it to a DoFn."""

    def __init__(self):
        self.value = None

    def read(self):
        return self.value

    def write(self, value):
        self.value = value

    set = write


def test_a_look_tells_of_what_is_new_and_sets_the_next_one(tmp_path):
    now = 1000
    dofn = _WatchDoFn(f"{tmp_path}/m-*.pth", "gs://b/first.pth", clock=lambda: Timestamp(now))
    current, look = Value(), Value()

    def found():
        return [each.model_id for each in dofn.on_look(current, look)]

    (first,) = dofn.process(("", b""), current, look)
    assert (first.model_id, first.model_name) == ("gs://b/first.pth", "first")
    assert look.value == Timestamp(1000 + INTERVAL_SEC)
    now = 1010
    assert found() == []
    assert look.value == Timestamp(1010 + INTERVAL_SEC)
    for second in (1.25, 1.5):  # The file is written, then overwritten.
        (tmp_path / "m-1.pth").write_text("x")
        os.utime(tmp_path / "m-1.pth", (second, second))
        assert found() == [find_newest(f"{tmp_path}/m-*.pth").id]
        assert found() == []


@pytest.mark.parametrize("path", ["gs://b/m.pth", "gs://b/m#1.pth", "m.pth#2023-11-14"])
def test_a_path_is_an_id_too(path):
    assert ModelFile.from_id(path) == ModelFile(path)
    assert ModelFile(path).id == path


def test_a_file_that_is_overwritten_is_another_model(save, tmp_path):
    path = save("m.pth", {"name": "y", "factor": 2})
    handler = _BlockModelHandler(Scale(path), ["key"], "cpu", handles_exceptions=True)
    answers = []
    for factor, second in ((3, 1.25), (4, 1.5)):
        save("m.pth", {"name": "y", "factor": factor})
        os.utime(path, (second, second))
        handler.update_model_path(find_newest(path).id)
        (frame,) = handler.run_inference(BLOCK, handler.load_model())
        answers.append((frame.attrs["model_id"], frame["y"].tolist()))
    assert answers == [
        (f"{path}#1970-01-01T00:00:01.250Z", [3, 6]),
        (f"{path}#1970-01-01T00:00:01.500Z", [4, 8]),
    ]


class Scale(BaseModel):
    """Multiplies by what its file holds, and calls the result as its file says."""

    def load_model(self, path, **opts):
        return torch.load(path, weights_only=True)

    def predict(self, df):
        state = self.ensure_model()
        return pd.DataFrame({state["name"]: df["x"] * state["factor"]})


BLOCK = pd.DataFrame({"key": ["a", "b"], "x": [1, 2]})


@pytest.fixture
def save(tmp_path):
    def save(name, state):
        torch.save(state, tmp_path / name)
        return str(tmp_path / name)

    return save


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "y"},
        {"name": "z", "factor": 3},
        "not a model",
    ],
    ids=["predict raises", "other columns", "load raises"],
)
def test_a_bad_model_is_refused_and_the_old_one_serves(save, tmp_path, bad):
    good = save("good.pth", {"name": "y", "factor": 2})
    handler = _BlockModelHandler(Scale(good), ["key"], "cpu", handles_exceptions=True)
    model = handler.load_model()
    (first,) = handler.run_inference(BLOCK, model)
    assert first["y"].tolist() == [2, 4]

    if isinstance(bad, str):
        (tmp_path / "bad.pth").write_text(bad)
        path = str(tmp_path / "bad.pth")
    else:
        path = save("bad.pth", bad)
    handler.update_model_path(path)
    assert handler.load_model() is model

    handler.update_model_path(save("better.pth", {"name": "y", "factor": 10}))
    (then,) = handler.run_inference(BLOCK, handler.load_model())
    assert then["y"].tolist() == [10, 20]
    assert then.attrs["model_id"].endswith("better.pth")


def test_a_thread_that_has_predicted_nothing_refuses_for_the_others_too(save):
    first = _BlockModelHandler(
        Scale(save("good.pth", {"name": "y", "factor": 2})), ["key"], "cpu", True
    )
    second = pickle.loads(pickle.dumps(first))
    first.update_model_path(save("better.pth", {"name": "y", "factor": 10}))
    better = first.load_model()
    first.run_inference(BLOCK, better)
    second.update_model_path(save("bad.pth", {"name": "z", "factor": 3}))
    assert second.load_model() is better


def test_a_process_that_starts_with_a_bad_model_serves_the_one_that_was_launched(save, tmp_path):
    (tmp_path / "bad.pth").write_text("not a model")
    good = save("good.pth", {"name": "y", "factor": 2})
    handler = _BlockModelHandler(Scale(good), ["key"], "cpu", handles_exceptions=True)
    handler.update_model_path(str(tmp_path / "bad.pth"))
    (frame,) = handler.run_inference(BLOCK, handler.load_model())
    assert (frame.attrs["model_id"], frame["y"].tolist()) == (good, [2, 4])


@pytest.mark.parametrize("bad", [{"name": "z", "factor": 3}, {"name": "y"}])
@pytest.mark.parametrize("launched_first", [True, False])
def test_a_model_that_comes_before_any_row_is_compared_on_the_first(save, bad, launched_first):
    good, better = (save(f"{factor}.pth", {"name": "y", "factor": factor}) for factor in (2, 10))
    handler = _BlockModelHandler(Scale(good), ["key"], "cpu", handles_exceptions=True)
    if launched_first:
        handler.load_model()
    handler.update_model_path(save("bad.pth", bad))
    model = handler.load_model()
    parts = handler.run_inference(BLOCK.rename(columns={"x": "w"}), model)  # which tells nothing
    assert [part.key for part in parts] == ["a", "b"]
    for _ in range(2):
        (frame,) = handler.run_inference(BLOCK, model)
        assert (frame.attrs["model_id"], frame["y"].tolist()) == (good, [2, 4])
    handler.update_model_path(better)
    (frame,) = handler.run_inference(BLOCK, handler.load_model())
    assert frame["y"].tolist() == [10, 20]


def test_a_process_that_starts_with_a_good_model_serves_it(save):
    good, better = (save(f"{factor}.pth", {"name": "y", "factor": factor}) for factor in (2, 10))
    for given in (good, f"{good}-gone"):
        handler = _BlockModelHandler(Scale(given), ["key"], "cpu", handles_exceptions=True)
        handler.update_model_path(better)
        (frame,) = handler.run_inference(BLOCK, handler.load_model())
        assert frame["y"].tolist() == [10, 20]


def test_the_first_model_has_to_load(tmp_path):
    handler = _BlockModelHandler(Scale(f"{tmp_path}/none"), ["key"], "cpu", True)
    with pytest.raises(FileNotFoundError):
        handler.load_model()


class Strict(BaseModel):
    """Wants numbers, as most models do."""

    def load_model(self, path, **opts):
        return True

    def predict(self, df):
        return torch.tensor(df[["x"]].to_numpy()).double().squeeze(1)


def test_a_text_among_numbers_does_not_take_its_neighbours_along():
    handler = _BlockModelHandler(Strict("-"), ["key"], "cpu", handles_exceptions=True)
    block = pd.DataFrame({"key": list("abcde"), "x": [1, 2, "poison", 4, 5]})
    parts = handler.run_inference(block, handler.load_model())
    frames = [part for part in parts if isinstance(part, pd.DataFrame)]
    assert sorted(key for frame in frames for key in frame["key"]) == ["a", "b", "d", "e"]
    (letter,) = [part for part in parts if not isinstance(part, pd.DataFrame)]
    assert letter.key == "c"
