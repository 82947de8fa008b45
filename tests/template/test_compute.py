"""The precision of a model, on the CPU, where torch has autocast as well."""

import csv
import json
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from apache_beam.options.pipeline_options import PipelineOptions

from template.compute import Compute, check_precision
from template.device import DeviceError, Gpu, resolve_devices
from template.inference import ApplyModel
from template.model import BaseModel
from template.models.fashion_mnist import FashionMnistModel
from template.models.onnx import OnnxModel
from template.options import PredictConfig
from template.parameters import ParameterError

# bfloat16 keeps 8 bits of a number, so one rounding changes it by at most 2 ** -8.
BOUND = {"bfloat16": 2**-6, "float16": 2**-9}
T4 = Gpu("cuda", None, "Tesla T4", (7, 5))
L4 = Gpu("cuda", None, "NVIDIA L4", (8, 9))


class Scores(BaseModel):
    """Returns what a network makes of two columns, as its option says."""

    def load_model(self, path, **opts):
        torch.manual_seed(5)
        return torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3))

    def predict(self, df):
        network = self.ensure_model()
        rows = torch.tensor(df[["a", "b"]].to_numpy("float32"), device=self.device)
        with torch.inference_mode():
            return {"scores": network(rows).numpy()[:, 0]}


class Inner(Scores):
    """Calls a layer of its network, not the network."""

    def predict(self, df):
        rows = torch.tensor(df[["a", "b"]].to_numpy("float32"))
        with torch.inference_mode():
            return self.ensure_model()[0](rows).numpy()


class Raw(Scores):
    """Returns a tensor as a layer of its network leaves it."""

    def predict(self, df):
        rows = torch.tensor(df[["a", "b"]].to_numpy("float32"))
        with torch.inference_mode():
            return self.ensure_model()[0](rows)[:, 0]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "rows.csv"
    rng = np.random.default_rng(1)
    pd.DataFrame({"a": rng.random(40), "b": rng.random(40)}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_predictions_differ_by_no_more_than_the_bound(predict, table, precision):
    stored, rounded = (
        predict(table, model_class=Scores, precision=each).by_key()
        for each in ("stored", precision)
    )
    assert stored.keys() == rounded.keys()
    assert len(stored) == 40
    differences = [abs(stored[key]["scores"] - rounded[key]["scores"]) for key in stored]
    assert 0 < max(differences) < BOUND[precision]


def test_the_built_in_model_finds_the_same_classes(weights):
    images = np.random.default_rng(2).integers(0, 256, (64, 28, 28), dtype=np.uint8)
    df = pd.DataFrame({"image": list(images)})
    answers = {}
    for precision in ("stored", "bfloat16"):
        model = FashionMnistModel(str(weights))
        compute = Compute("cpu", precision)
        compute.adopt(model.ensure_model())
        with compute.applied():
            answers[precision] = model.predict(df)
    stored, rounded = answers["stored"], answers["bfloat16"]
    assert rounded["score"].dtype == np.float32
    difference = (stored["score"] - rounded["score"]).abs().max()
    assert 0 < difference < BOUND["bfloat16"]
    clear = stored["score"] > 0.5 + BOUND["bfloat16"]
    assert (stored["class_index"] == rounded["class_index"])[clear].all()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_a_tensor_of_fewer_bits_is_written(predict, table, tmp_path, precision, output_format):
    outcome = predict(table, model_class=Raw, precision=precision, output_format=output_format)
    assert (outcome.counters["predictions"], outcome.dead_letters) == (40, [])
    (path,) = (tmp_path / "out").glob(f"result-[0-9]*.{output_format}")
    if output_format == "parquet":
        values = pq.read_table(path)["prediction"].to_pylist()
    elif output_format == "csv":
        values = [float(row["prediction"]) for row in csv.DictReader(path.open())]
    else:
        values = [json.loads(line)["prediction"] for line in path.open()]
    assert len({round(value, 6) for value in values}) > 10
    assert outcome.record["parameters"]["precision"] == precision


def test_numpy_of_a_bfloat16_tensor_says_what_to_do(predict, table):
    outcome = predict(table, model_class=Inner, precision="bfloat16")
    assert len(outcome.dead_letters) == 40
    error = outcome.dead_letters[0]["error"]
    assert error.startswith("TypeError: Got unsupported ScalarType BFloat16: with --precision")
    assert error.endswith("call .float() before .numpy()")


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_float32_comes_out_of_whatever_a_network_returns(precision):
    class Many(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, x):
            y = self.layer(x)
            return {"list": [y, 1], "pair": torch.return_types.max((y, y.argmax(1))), "n": None}

    network = Many()
    compute = Compute("cpu", precision)
    compute.adopt(network)
    with compute.applied():
        assert network.layer(torch.zeros(1, 2)).dtype == getattr(torch, precision)
        returned = network(torch.zeros(1, 2))
    assert returned["list"][0].dtype == returned["pair"][0].dtype == torch.float32
    assert returned["pair"][1].dtype == torch.int64
    assert (returned["list"][1], returned["n"]) == (1, None)


@dataclass
class Output(OrderedDict):
    """Like the results of Hugging Face models: a dataclass that is also a dict."""

    logits: torch.Tensor
    loss: torch.Tensor | None = None


def test_float32_comes_out_of_a_dataclass():
    class Head(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, x):
            return Output(self.layer(x))

    head = Head()
    compute = Compute("cpu", "bfloat16")
    compute.adopt(head)
    with compute.applied():
        returned = head(torch.zeros(1, 2))
    assert isinstance(returned, Output)
    assert (returned.logits.dtype, returned.loss) == (torch.float32, None)


def test_a_gpu_that_does_not_compute_in_it_is_refused():
    assert resolve_devices("auto", "bfloat16", gpus=lambda: [L4]) == ("cuda",)
    assert resolve_devices("cuda", "float16", gpus=lambda: [T4]) == ("cuda",)
    assert resolve_devices("cuda", gpus=lambda: [T4]) == ("cuda",)
    for requested in ("auto", "cuda"):
        with pytest.raises(DeviceError) as info:
            resolve_devices(requested, "bfloat16", gpus=lambda: [T4])
        assert str(info.value).startswith(
            "--precision bfloat16: Tesla T4 (cuda, compute capability 7.5) does not support it."
        )


def test_a_model_that_torch_does_not_run_is_refused(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x09\x12")
    with pytest.raises(ParameterError) as info:
        check_precision("bfloat16", OnnxModel(str(path)))
    assert "is an ONNX model, which does not run on torch" in str(info.value)
    check_precision("stored", OnnxModel(str(path)))


class Plain(Scores):
    """Computes with NumPy."""

    def load_model(self, path, **opts):
        return np.ones(2)

    def predict(self, df):
        return df[["a", "b"]].to_numpy() @ self.ensure_model()


class Hidden(Scores):
    """Keeps its network in a separate object, and returns what that returned."""

    def load_model(self, path, **opts):
        return {"network": torch.jit.script(super().load_model(path))}

    def predict(self, df):
        rows = torch.from_numpy(df[["a", "b"]].to_numpy("float32"))
        return self.ensure_model()["network"](rows)


def test_a_precision_that_does_not_reach_the_users_model_fails_the_job(predict, table):
    with pytest.raises(Exception, match=r"--precision 'bfloat16': Plain.predict does not call"):
        predict(table, model_class=Plain, precision="bfloat16")
    assert len(predict(table, model_class=Plain).predictions) == 40
    assert len(predict(table, model_class=Hidden, precision="bfloat16").predictions) == 40


def test_a_misspelt_precision_is_refused():
    flags = ["--input=a.csv", "--output=o/p", "--model_path=w.pth", "--precision=bf16"]
    model = "--model_class=template.models.fashion_mnist:FashionMnistModel"
    with pytest.raises(ParameterError, match="not one of stored, bfloat16, float16"):
        PredictConfig.from_options(PipelineOptions([*flags, model]))


def test_the_default_computes_as_stored():
    assert ApplyModel(Scores("w"), "a")._precision == "stored"
    network = torch.nn.Linear(2, 1)
    Compute("cpu").adopt(network)
    assert not network._forward_hooks
