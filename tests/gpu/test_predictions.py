"""Predictions on a GPU against those of torch on the CPU, within stated bounds.

A score may differ by a share of the largest score: cuDNN's convolutions round to TF32 (10
bits of mantissa, like float16), and bfloat16 keeps 7 bits.
"""

import numpy as np
import pandas as pd
import pytest
import torch

from template.compute import Compute
from template.models.exported_program import ExportedProgramModel
from template.models.torchscript import TorchScriptModel
from tests.gpu.sides import SIDES, Run
from tests.gpu.workloads import Mlp, ResNet, write_input

BOUNDS = {"stored": 0.005, "float16": 0.01, "bfloat16": 0.05}


class MlpScores(Mlp):
    def predict(self, df):
        with torch.inference_mode():
            return self.ensure_model()(self.images(df))


class ResNetScores(ResNet):
    def predict(self, df):
        with torch.inference_mode():
            return self.ensure_model()(self.images(df))


def images_of(model_class, rows):
    height, width = model_class.images.shape
    pixels = np.random.default_rng(3).integers(0, 256, (rows, height, width), dtype=np.uint8)
    return pd.DataFrame({"image": list(pixels)})


def scores_of(model_class, df, device, precision="stored"):
    model = model_class("none")
    model.device = device
    compute = Compute(device, precision)
    compute.adopt(model.ensure_model())
    with compute.applied():
        return model.predict(df)


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize(("model_class", "rows"), [(MlpScores, 100), (ResNetScores, 4)])
def test_scores_are_those_of_the_cpu_within_the_bound(device, model_class, rows, precision):
    if (device, precision, model_class) == ("cpu", "float16", ResNetScores):
        pytest.skip("convolutions in float16 take a CPU a minute")
    df = images_of(model_class, rows)
    wanted = scores_of(model_class, df, "cpu")
    found = scores_of(model_class, df, device, precision)
    assert (found.device.type, found.dtype) == (device, torch.float32)
    difference = (found.cpu() - wanted).abs().max() / wanted.abs().max()
    assert difference < BOUNDS[precision]
    assert precision == "stored" or difference > 0


def test_images_are_those_of_the_cpu(device):
    model = ResNet("none")
    df = images_of(ResNet, 8)
    wanted = model.images(df)
    model.device = device
    found = model.images(df)
    assert (found.device.type, found.dtype, found.shape) == (device, torch.float32, wanted.shape)
    torch.testing.assert_close(found.cpu(), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["script", "program"])
def test_a_file_without_a_class_runs_there(device, tmp_path, kind):
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    rows = torch.rand(16, 3)
    path = tmp_path / "model.pt"
    if kind == "script":
        torch.jit.script(network.eval()).save(path)
    else:
        shapes = ({0: torch.export.Dim("rows")},)
        program = torch.export.export(network.eval(), (rows,), dynamic_shapes=shapes)
        torch.export.save(program, path)
    model_class = TorchScriptModel if kind == "script" else ExportedProgramModel
    model = model_class(str(path), {"feature_columns": "a,b,c", "trusted": True})
    model.inspect()
    model.device = device
    found = model.predict(pd.DataFrame(rows.numpy(), columns=["a", "b", "c"]))["prediction"]
    with torch.inference_mode():
        wanted = network(rows).numpy()
    np.testing.assert_allclose(np.stack([*found]), wanted, rtol=0, atol=5e-3)


@pytest.mark.parametrize("precision", ["stored", "bfloat16"])
def test_the_batch_template_predicts_what_a_loop_does(device, tmp_path, precision):
    write_input("mlp", tmp_path / "in", 500)
    run = Run(
        workload="mlp",
        device=device,
        precision=precision,
        threads=2,
        batch_size=64,
        rows_per_element=500,
        images=tmp_path / "in",
        output=tmp_path / "out",
    )
    run.output.mkdir()
    for side in SIDES.values():
        side(run)
    raw, flexpack, elements = (
        pd.concat(pd.read_json(path, lines=True) for path in run.output.glob(f"{stem}*.jsonl"))
        for stem in ("raw", "flexpack", "elements")
    )
    assert len(raw) == len(flexpack) == len(elements) == 500
    both = raw.merge(flexpack.assign(key=flexpack["key"].str.split("/").str[-1]), on="key")
    assert len(both) == 500
    assert (both["value_x"] == both["value_y"]).mean() >= (0.99 if precision == "stored" else 0.9)
