"""A copy of the model on each of several simulated devices: torch has only one CPU."""

import gc
import logging
import threading
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import apache_beam as beam
import pandas as pd
import pytest
import torch
from apache_beam.options.pipeline_options import PipelineOptions

from template.device import DeviceError, Gpu, resolve_devices
from template.inference import ApplyModel, BlockModelHandler, PredictSettings
from template.model import BaseModel
from template.model_swap import ModelFile, ServingModel

DEVICES = ("cpu:0", "cpu:1", "cpu:2", "cpu:3")
THREADS = 8
WAIT_SEC = 60


def handler_of(model, devices=DEVICES):
    settings = PredictSettings(key_columns=("key",), device=devices, handles_exceptions=True)
    return BlockModelHandler(model, settings)


def block_of(start, rows):
    numbers = range(start, start + rows)
    return pd.DataFrame({"key": [f"k{number}" for number in numbers], "x": list(numbers)})


class Scale(BaseModel):
    """Multiplies by the number in its file; each copy on its own device."""

    def load_model(self, path, **opts):
        factor = torch.load(path, weights_only=True)
        return torch.nn.Parameter(factor.to(self.device), requires_grad=False)

    def predict(self, df):
        rows = torch.tensor(df["x"].to_numpy(), device=self.device)
        return {"y": rows * self.ensure_model(), "device": [self.device] * len(df)}


@pytest.fixture
def save(tmp_path):
    def save(factor, name="m.pth"):
        torch.save(torch.tensor(factor), tmp_path / name)
        return str(tmp_path / name)

    return save


class Meeting(Scale):
    """Waits in ``predict`` of ten rows until all threads have arrived."""

    barrier = threading.Barrier(THREADS)

    def predict(self, df):
        if len(df) == 10:
            self.barrier.wait(WAIT_SEC)
        return super().predict(df)


def test_threads_are_spread_evenly(save):
    handler = handler_of(Meeting(save(2)))
    serving = handler.load_model()
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(3):
            blocks = [block_of(10 * number, 10) for number in range(THREADS)]
            calls = [pool.submit(handler.run_inference, block, serving) for block in blocks]
            frames = [call.result(WAIT_SEC)[0] for call in calls]
            for block, frame in zip(blocks, frames, strict=True):
                assert frame["key"].tolist() == block["key"].tolist()
                assert frame["y"].tolist() == [2 * x for x in block["x"]]
            assert Counter(frame["device"][0] for frame in frames) == dict.fromkeys(DEVICES, 2)


class Small(Meeting):
    """Has room for three rows on one of the devices."""

    def predict(self, df):
        predictions = super().predict(df)
        if self.device == "cpu:2" and len(df) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return predictions


def test_a_device_that_is_full_halves_its_own_blocks(save):
    Small.barrier = threading.Barrier(len(DEVICES))
    handler = handler_of(Small(save(3)))
    serving = handler.load_model()
    with ThreadPoolExecutor(len(DEVICES)) as pool:
        blocks = [block_of(10 * number, 10) for number in range(len(DEVICES))]
        calls = [pool.submit(handler.run_inference, block, serving) for block in blocks]
        results = [call.result(WAIT_SEC) for call in calls]
    sizes = {parts[0]["device"][0]: [len(part) for part in parts] for parts in results}
    assert sizes == {"cpu:0": [10], "cpu:1": [10], "cpu:2": [2, 3, 2, 3], "cpu:3": [10]}
    for block, parts in zip(blocks, results, strict=True):
        frame = pd.concat(parts)
        assert frame["key"].tolist() == block["key"].tolist()
        assert frame["y"].tolist() == [3 * x for x in block["x"]]


class Dying(Scale):
    """Loses some of its devices, each at its first call."""

    lost: tuple[str, ...] = ()

    def predict(self, df):
        if self.device in self.lost:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return super().predict(df)


def test_a_device_that_failed_gets_no_more_blocks(save, monkeypatch, caplog):
    """Its calls end at once, so it would be the least busy and get all of them."""
    monkeypatch.setattr(Dying, "lost", ("cpu:0", "cpu:2"))
    handler = handler_of(Dying(save(2)))
    serving = handler.load_model()
    failed, devices = 0, []
    for number in range(8):
        try:
            (frame,) = handler.run_inference(block_of(number, 1), serving)
            devices += frame["device"].tolist()
        except torch.AcceleratorError:
            failed += 1
    assert failed == 1  # cpu:1, which is free, comes before cpu:2
    assert set(devices) == {"cpu:1"}
    (record,) = (each for each in caplog.records if each.name == "template.copies")
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("cpu:0 failed (AcceleratorError: CUDA error: an illegal")
    assert record.getMessage().endswith("on the other 3 of its devices from now on")


def test_if_every_device_failed_every_block_fails(save, monkeypatch):
    monkeypatch.setattr(Dying, "lost", DEVICES)
    handler = handler_of(Dying(save(2)))
    serving = handler.load_model()
    for number in range(2 * len(DEVICES)):
        with pytest.raises(torch.AcceleratorError):
            handler.run_inference(block_of(number, 1), serving)


class Sized(Scale):
    """Does not fit on the last device if its file is large."""

    loaded: list = []  # noqa: RUF012  (shared on purpose)

    def load_model(self, path, **opts):
        factor = super().load_model(path)
        if factor.item() > 100 and self.device == DEVICES[-1]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        self.loaded.append(weakref.ref(factor))
        return factor


def answers_of(handler):
    """Return each device's prediction for 1, and the id of the serving model."""
    serving = handler.load_model()
    copies = serving._serving
    answers = {}
    for predictor in copies._predictors:
        (frame,) = predictor.predict_or_halve(handler._make_block(block_of(1, 1)))
        answers[frame["device"][0]] = frame["y"][0]
    return answers, copies.model_id


def test_an_update_serves_on_all_devices_or_on_none(save):
    handler = handler_of(Sized(save(2)))
    assert answers_of(handler) == (dict.fromkeys(DEVICES, 2), handler._model.model_path)
    handler.run_inference(block_of(0, 3), handler.load_model())
    newer = save(5, "newer.pth")
    handler.update_model_path(newer)
    assert answers_of(handler) == (dict.fromkeys(DEVICES, 5), newer)
    handler.update_model_path(save(500, "large.pth"))  # loads on three of the four
    assert answers_of(handler) == (dict.fromkeys(DEVICES, 5), newer)
    newest = save(7, "newest.pth")
    handler.update_model_path(newest)
    assert answers_of(handler) == (dict.fromkeys(DEVICES, 7), newest)
    handler.run_inference(block_of(0, 3), handler.load_model())
    gc.collect()
    factors = [loaded().item() for loaded in Sized.loaded if loaded() is not None]
    assert factors == [7] * len(DEVICES)
    assert len(Sized.loaded) == 3 * len(DEVICES) + 3


class Lost(Scale):
    """Meets a lost GPU on the last device while its newer file loads, or predicts."""

    def load_model(self, path, **opts):
        factor = super().load_model(path)
        if factor.item() == 13 and self.device == DEVICES[-1]:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return factor

    def predict(self, df):
        if self.ensure_model().item() == 17:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure")
        return super().predict(df)


@pytest.mark.parametrize("factor", [13, 17], ids=["as-it-loads", "as-it-is-compared"])
def test_a_gpu_that_is_lost_during_an_update_refuses_no_model(save, factor, caplog):
    first = save(2)
    handler = handler_of(Lost(first))
    serving = handler.load_model()
    handler.run_inference(block_of(0, 3), serving)
    newer = save(factor, "newer.pth")
    handler.update_model_path(newer)
    with pytest.raises(torch.AcceleratorError):
        handler.load_model()
    assert "is refused" not in caplog.text
    handler.update_model_path(first)
    assert answers_of(handler) == (dict.fromkeys(DEVICES, 2), first)
    torch.save(torch.tensor(5), newer)  # as after a restart, with an intact GPU
    handler.update_model_path(newer)
    assert answers_of(handler) == (dict.fromkeys(DEVICES, 5), newer)


def test_an_update_stays_on_the_devices_of_the_launch(save):
    found = iter([("cpu:0", "cpu:1"), ("cpu",)])
    settings = PredictSettings(key_columns=("key",), handles_exceptions=True)
    serving = ServingModel(Scale(save(2)), lambda: next(found), None, settings.make_copies)
    serving.load()
    serving.load(ModelFile(save(3, "newer.pth")))
    assert [each._compute.device for each in serving._serving._predictors] == ["cpu:0", "cpu:1"]
    assert serving._serving.model_id.endswith("newer.pth")


class Spread(Scale):
    takes_all_gpus = True


def test_a_model_that_takes_all_gpus_is_loaded_once(save):
    assert answers_of(handler_of(Spread(save(2))))[0] == {"cpu": 2}


COLLECTED = []


def collect(frame):
    COLLECTED.extend(frame.to_dict("records"))


def test_a_pipeline_on_several_devices_predicts_every_row(save):
    COLLECTED.clear()
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        _ = (
            pipeline
            | beam.Create([block_of(10 * number, 10) for number in range(20)])
            | ApplyModel(Scale(save(2)), "key", device=DEVICES)
            | beam.Map(collect)
        )
    assert {row["key"]: row["y"] for row in COLLECTED} == {f"k{n}": 2 * n for n in range(200)}
    assert {row["device"] for row in COLLECTED} <= set(DEVICES)


def gpus(*problems):
    """Return GPUs of which some have a problem."""
    return lambda: [
        Gpu(f"cuda:{number}", problem, "NVIDIA L4", (8, 9))
        for number, problem in enumerate(problems)
    ]


def test_cuda_needs_all_gpus_and_auto_logs_those_that_it_does_without(caplog):
    assert resolve_devices("cuda", gpus=gpus(None, None)) == ("cuda:0", "cuda:1")
    broken = gpus(None, "a first kernel failed: CUDA error: uncorrectable ECC error", None)
    with pytest.raises(DeviceError) as info:
        resolve_devices("cuda", gpus=broken)
    assert str(info.value).startswith(
        "--device cuda: not all of the worker's 3 GPUs are usable: cuda:1: a first kernel failed"
    )
    with caplog.at_level(logging.INFO, "template.device"):
        assert resolve_devices("auto", gpus=broken) == ("cuda:0", "cuda:2")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "predicting on cuda:0, cuda:2 (cuda:1: a first kernel failed" in record.getMessage()
    assert resolve_devices("auto", gpus=gpus("lost", "lost")) == ("cpu",)
    assert resolve_devices("cpu", gpus=broken) == ("cpu",)


def test_one_gpu_that_is_too_old_for_a_precision_is_named():
    mixed = [Gpu("cuda:0", None, "NVIDIA L4", (8, 9)), Gpu("cuda:1", None, "Tesla T4", (7, 5))]
    with pytest.raises(DeviceError, match=r"Tesla T4 \(cuda:1, compute capability 7.5\)"):
        resolve_devices("auto", "bfloat16", gpus=lambda: mixed)


def test_all_copies_count_for_giving_up(save):
    class Failing(Scale):
        def predict(self, df):
            raise ValueError("no")

    handler = handler_of(Failing(save(2)))
    first, *others = handler.load_model()._serving._predictors
    for _ in range(3):
        first.predict_or_halve(handler._make_block(block_of(0, 2)))
    assert all(each._failures.are_all_alike for each in others)
