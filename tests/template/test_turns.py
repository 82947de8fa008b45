"""Threads that share a device's memory, which is simulated."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
import torch

from template.inference import BlockModelHandler, PredictSettings
from template.model import BaseModel
from template.turns import Turns, turns_on

ROOM = 12
WAIT_SEC = 60


class Memory:
    """A device with room for some rows, which a call occupies while it computes."""

    def __init__(self, room=ROOM):
        self._lock = threading.Lock()
        self.room = room
        self.refused = 0

    def take(self, rows):
        with self._lock:
            if rows > self.room:
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            self.room -= rows

    def give(self, rows):
        with self._lock:
            self.room += rows


class Filling(BaseModel):
    """Needs memory for each row of a block until it is computed."""

    memories: dict = {}  # noqa: RUF012  (shared on purpose)

    def load_model(self, path, **opts):
        return torch.tensor(2)

    def predict(self, df):
        memory = self.memories[self.device]
        memory.take(len(df))
        try:
            time.sleep(0.01)
            return {"y": torch.tensor(df["x"].to_numpy()) * self.ensure_model()}
        finally:
            memory.give(len(df))


@pytest.mark.parametrize(
    ("devices", "threads"),
    [(["cpu:8"], 1), (["cpu:8"], 8), (["cpu:8", "cpu:9"], 8), (["cpu:8", "cpu:9"], 1)],
    ids=["one-thread", "more-threads", "two-devices", "one-thread-two-devices"],
)
def test_a_row_is_not_given_up_because_other_threads_fill_the_memory(devices, threads):
    Filling.memories = {device: Memory() for device in devices}
    settings = PredictSettings(key_columns=("key",), device=devices, handles_exceptions=True)
    handler = BlockModelHandler(Filling("none"), settings)
    serving = handler.load_model()
    rows = ROOM - 2  # two blocks at once are too many
    with ThreadPoolExecutor(threads) as pool:
        blocks = [
            pd.DataFrame({"key": [f"{n}-{m}" for m in range(rows)], "x": range(n, n + rows)})
            for n in range(24)
        ]
        calls = [pool.submit(handler.run_inference, block, serving) for block in blocks]
        results = [call.result(WAIT_SEC) for call in calls]
    for block, parts in zip(blocks, results, strict=True):
        assert [type(part) for part in parts] == [pd.DataFrame]
        assert parts[0]["key"].tolist() == block["key"].tolist()
        assert parts[0]["y"].tolist() == [2 * x for x in block["x"]]
    refused = sum(memory.refused for memory in Filling.memories.values())
    assert (refused > 0) == (threads > len(devices))
    assert [memory.room for memory in Filling.memories.values()] == [ROOM] * len(devices)


def test_a_block_that_is_too_large_alone_is_halved_without_a_second_try():
    Filling.memories = {"cpu:8": Memory()}
    settings = PredictSettings(key_columns=("key",), device=["cpu:8"], handles_exceptions=True)
    handler = BlockModelHandler(Filling("none"), settings)
    block = pd.DataFrame({"key": [f"k{n}" for n in range(40)], "x": range(40)})
    parts = handler.run_inference(block, handler.load_model())
    assert [len(part) for part in parts] == [10] * 4
    assert Filling.memories["cpu:8"].refused == 3  # of 40 rows, and twice of 20


class SlowToLoad(Filling):
    """Its newer weights need most of the memory while they load."""

    loading = threading.Event()

    def load_model(self, path, **opts):
        if path == "newer":
            memory = self.memories[self.device]
            memory.take(ROOM)
            self.loading.set()
            time.sleep(0.3)
            memory.give(ROOM)
        return torch.tensor(3 if path == "newer" else 2)


def test_rows_wait_for_memory_that_loading_a_newer_model_takes():
    SlowToLoad.memories = {device: Memory() for device in ("cpu:8", "cpu:9")}
    SlowToLoad.loading.clear()
    settings = PredictSettings(
        key_columns=("key",), device=["cpu:8", "cpu:9"], handles_exceptions=True
    )
    handler = BlockModelHandler(SlowToLoad("none"), settings)
    serving = handler.load_model()
    block = pd.DataFrame({"key": ["a", "b"], "x": [1, 2]})

    def update():
        handler.update_model_path("newer")
        handler.load_model()

    with ThreadPoolExecutor(3) as pool:
        updated = pool.submit(update)
        assert SlowToLoad.loading.wait(WAIT_SEC)
        calls = [pool.submit(handler.run_inference, block, serving) for _ in range(2)]
        answers = [call.result(WAIT_SEC)[0]["y"].tolist() for call in calls]
        updated.result(WAIT_SEC)
    assert answers == [[2, 4], [2, 4]]
    assert handler.run_inference(block, serving)[0]["y"].tolist() == [3, 6]


def test_turns_know_whether_they_were_alone():
    turns = Turns()
    with turns.shared() as first:
        assert not first.was_alone
    assert first.was_alone
    with ThreadPoolExecutor(1) as pool, turns.shared() as outer:

        def use():
            with turns.shared() as inner:
                pass
            return inner

        assert not pool.submit(use).result(WAIT_SEC).was_alone
    assert not outer.was_alone
    assert turns_on("cpu:8") is turns_on("cpu:8") is not turns_on("cpu:9")


def test_one_that_waits_to_be_alone_goes_before_later_ones():
    turns = Turns()
    order = []

    def use(kind, name):
        with kind():
            order.append(name)
            time.sleep(0.02)

    with ThreadPoolExecutor(2) as pool:
        with turns.shared():
            alone = pool.submit(use, turns.alone, "alone")
            while not turns._waiting_alone:
                time.sleep(0.001)
            later = pool.submit(use, turns.shared, "later")
            time.sleep(0.02)
            assert order == []
        alone.result(WAIT_SEC)
        later.result(WAIT_SEC)
    assert order == ["alone", "later"]
