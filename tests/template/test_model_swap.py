"""Which file is the model, and what happens to one that does not fit."""

import gc
import os
import pickle
import socket
import threading
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from apache_beam.utils.timestamp import Timestamp

from template.inference import BlockModelHandler, PredictSettings
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


def test_a_look_reports_what_is_new_and_sets_the_next_one(tmp_path):
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
    handler = handler_of(Scale(path))
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


def handler_of(model):
    """Return a handler, as each thread of a worker has one."""
    settings = PredictSettings(key_columns=("key",), device="cpu", handles_exceptions=True)
    return BlockModelHandler(model, settings)


class Scale(BaseModel):
    """Multiplies by the number in its file, and names the result as its file says."""

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


class Cyclic(Scale):
    """A model of 20 MB in a cycle of references, which holds a socket."""

    def load_model(self, path, **opts):
        state = super().load_model(path)
        loaded = Loaded(state)
        loaded.myself = loaded
        loaded.socket = socket.socket()
        loaded.weights = np.ones(20 << 17)
        return loaded


class Loaded(dict):
    """A dict that may have attributes."""


def test_updates_free_what_they_replace(save):
    path = save("m.pth", {"name": "y", "factor": 2})
    handler = handler_of(Cyclic(path))
    handler.run_inference(BLOCK, handler.load_model())
    descriptors, size = count_descriptors(), resident_bytes()
    for number in range(20):
        handler.update_model_path(
            save("m.pth", {"name": "y", "factor": number}) + f"#2026-01-01T00:00:00.{number:03}Z"
        )
        (frame,) = handler.run_inference(BLOCK, handler.load_model())
        assert frame["y"].tolist() == [number, 2 * number]
    assert count_descriptors() == descriptors
    assert resident_bytes() < size + (60 << 20)
    gc.unfreeze()  # get_objects does not return frozen ones
    assert sum(isinstance(each, Loaded) for each in gc.get_objects()) == 1


def count_descriptors():
    return len(os.listdir("/proc/self/fd"))


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Slow(Cyclic):
    """Waits, while it predicts, until it is released."""

    started, let_go = threading.Event(), threading.Event()
    loaded: list = []  # noqa: RUF012  (shared on purpose)

    def load_model(self, path, **opts):
        loaded = super().load_model(path)
        self.loaded.append(weakref.ref(loaded))
        return loaded

    def predict(self, df):
        if self.model_path.endswith("slow.pth"):
            self.started.set()
            assert self.let_go.wait(60)
        return super().predict(df)


def test_a_model_that_a_thread_still_uses_is_freed_by_the_next_call(save):
    handler = handler_of(Slow(save("slow.pth", {"name": "y", "factor": 2})))
    serving = handler.load_model()
    answers = []
    thread = threading.Thread(target=lambda: answers.extend(handler.run_inference(BLOCK, serving)))
    thread.start()
    assert Slow.started.wait(60)
    handler.update_model_path(save("next.pth", {"name": "y", "factor": 3}))
    handler.load_model()
    Slow.let_go.set()
    thread.join()
    assert answers.pop()["y"].tolist() == [2, 4]
    for _ in range(2):
        (frame,) = handler.run_inference(BLOCK, serving)
        assert frame["y"].tolist() == [3, 6]
    first, second = Slow.loaded
    assert first() is None
    assert second() is not None


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt(), ValueError("no")])
def test_whatever_a_model_raises_when_it_loads_refuses_it(save, error):
    class Raising(Scale):
        def load_model(self, path, **opts):
            if path.endswith("bad.pth"):
                raise error
            return super().load_model(path)

    handler = handler_of(Raising(save("good.pth", {"name": "y", "factor": 2})))
    model = handler.load_model()
    handler.update_model_path(save("bad.pth", {"name": "y", "factor": 3}))
    (frame,) = handler.run_inference(BLOCK, handler.load_model())
    assert frame["y"].tolist() == [2, 4]
    assert handler.load_model() is model
    with pytest.raises(Exception, match=f"{type(error).__name__}|no"):
        handler_of(Raising("bad.pth")).load_model()


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
    handler = handler_of(Scale(good))
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
    first = handler_of(Scale(save("good.pth", {"name": "y", "factor": 2})))
    second = pickle.loads(pickle.dumps(first))
    first.update_model_path(save("better.pth", {"name": "y", "factor": 10}))
    better = first.load_model()
    first.run_inference(BLOCK, better)
    second.update_model_path(save("bad.pth", {"name": "z", "factor": 3}))
    assert second.load_model() is better


def test_a_process_that_starts_with_a_bad_model_serves_the_one_that_was_launched(save, tmp_path):
    (tmp_path / "bad.pth").write_text("not a model")
    good = save("good.pth", {"name": "y", "factor": 2})
    handler = handler_of(Scale(good))
    handler.update_model_path(str(tmp_path / "bad.pth"))
    (frame,) = handler.run_inference(BLOCK, handler.load_model())
    assert (frame.attrs["model_id"], frame["y"].tolist()) == (good, [2, 4])


@pytest.mark.parametrize("bad", [{"name": "z", "factor": 3}, {"name": "y"}])
@pytest.mark.parametrize("launched_first", [True, False])
def test_a_model_that_comes_before_any_row_is_compared_on_the_first(save, bad, launched_first):
    good, better = (save(f"{factor}.pth", {"name": "y", "factor": factor}) for factor in (2, 10))
    handler = handler_of(Scale(good))
    if launched_first:
        handler.load_model()
    handler.update_model_path(save("bad.pth", bad))
    model = handler.load_model()
    parts = handler.run_inference(BLOCK.rename(columns={"x": "w"}), model)  # which proves nothing
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
        handler = handler_of(Scale(given))
        handler.update_model_path(better)
        (frame,) = handler.run_inference(BLOCK, handler.load_model())
        assert frame["y"].tolist() == [10, 20]


def test_the_first_model_has_to_load(tmp_path):
    handler = handler_of(Scale(f"{tmp_path}/none"))
    with pytest.raises(FileNotFoundError):
        handler.load_model()


class Strict(BaseModel):
    """Needs numbers, like most models."""

    def load_model(self, path, **opts):
        return True

    def predict(self, df):
        return torch.tensor(df[["x"]].to_numpy()).double().squeeze(1)


def test_a_text_among_numbers_does_not_take_its_neighbours_along():
    handler = handler_of(Strict("-"))
    block = pd.DataFrame({"key": list("abcde"), "x": [1, 2, "poison", 4, 5]})
    parts = handler.run_inference(block, handler.load_model())
    frames = [part for part in parts if isinstance(part, pd.DataFrame)]
    assert sorted(key for frame in frames for key in frame["key"]) == ["a", "b", "d", "e"]
    (letter,) = [part for part in parts if not isinstance(part, pd.DataFrame)]
    assert letter.key == "c"
