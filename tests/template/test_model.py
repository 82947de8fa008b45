"""The model contract: loaded once, lazily, never pickled."""

import copy
import pickle
import threading
import time

import pandas as pd
import pytest

from template.model import BaseModel

LOADS = []


class SlowModel(BaseModel):
    """Loads slowly enough for threads to meet; a list does not allow weak references."""

    def load_model(self, path, **opts):
        time.sleep(0.05)
        LOADS.append((path, opts))
        return [path]


class FrameModel(BaseModel):
    """Leaves predict to the loaded object."""

    class Doubler:
        def predict(self, df, *, factor):
            return {"doubled": df["a"] * factor}

    def load_model(self, path, **opts):
        return self.Doubler()


class ForgetfulModel(BaseModel):
    """Forgets to return."""

    def load_model(self, path, **opts):
        self.forgotten = path


@pytest.fixture(autouse=True)
def _no_loads():
    LOADS.clear()


def test_threads_and_copies_that_ask_at_once_load_once():
    model = SlowModel("weights", model_opts={"depth": 2})
    pickled = pickle.dumps(model)
    copies = [model, copy.copy(model), *(pickle.loads(pickled) for _ in range(6))]
    barrier = threading.Barrier(len(copies))
    loaded = []

    def ask(one):
        barrier.wait()
        loaded.append(one.ensure_model())

    threads = [threading.Thread(target=ask, args=(one,)) for one in copies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert LOADS == [("weights", {"depth": 2})]
    assert len(loaded) == len(copies)
    assert len(set(map(id, loaded))) == 1


def test_nothing_is_loaded_before_it_is_asked_for_and_nothing_is_pickled():
    model = SlowModel("weights")
    assert LOADS == []
    empty = len(pickle.dumps(model))
    model.ensure_model().append("x" * 100_000)
    assert len(pickle.dumps(model)) == empty
    assert pickle.loads(pickle.dumps(model)).model_path == "weights"


def test_another_path_is_another_model():
    first = SlowModel("one")
    second = copy.copy(first)
    second.model_path = "two"
    assert (first.ensure_model(), second.ensure_model()) == (["one"], ["two"])
    assert first.ensure_model() == ["one"]
    assert len(LOADS) == 2


def test_the_default_predict_asks_the_loaded_object():
    model = FrameModel("weights", predict_opts={"factor": 2})
    assert model.predict(pd.DataFrame({"a": [1, 2]})).to_dict("list") == {"doubled": [2, 4]}


def test_a_load_model_that_returns_nothing_is_named():
    with pytest.raises(TypeError, match=r"ForgetfulModel\.load_model returned None"):
        ForgetfulModel("weights").ensure_model()


def test_a_model_without_load_model_is_named():
    with pytest.raises(NotImplementedError, match="BaseModel does not define load_model"):
        BaseModel("weights").ensure_model()
