"""torch programs that were written on a GPU, and files that hold a pickle of somebody else's."""

import io
import json
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.export.passes import move_to_device_pass

from launcher.preflight.probes.checkpoint import main as check
from template.model_options import make_model
from template.models.kinds import EXPORTED_PROGRAM, SCIKIT_LEARN, TORCHSCRIPT
from template.options import find_model_class
from template.parameters import ParameterError

FRAME = pd.DataFrame({"a": [0.5, 1.0], "b": [2.0, -1.0], "c": [0.0, 3.0]})
ROWS = torch.tensor(FRAME.to_numpy(), dtype=torch.float32)
FEATURES = {"feature_columns": "a,b,c", "trusted": True}


class NamesItsDevice(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 2)
        self.register_buffer("shift", torch.ones(3))

    def forward(self, x):
        places = torch.arange(3, device=x.device)
        return self.layer(x + places + torch.ones(3, device=x.device) + self.shift)


def rewrite(path, change):
    """Write an archive again with ``change(name, content)`` in place of each member."""
    with zipfile.ZipFile(path) as archive:
        members = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def move_to_gpu(name, content):
    """Change a member into what torch writes on a machine with a GPU."""
    if name.endswith(".py"):
        return content.replace(b'device("cpu")', b'device("cuda:0")')
    if name.endswith(".json"):
        return content.replace(b'"type": "cpu", "index": null', b'"type": "cuda", "index": 0')
    if name.endswith("data.pkl"):
        return content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    if name.endswith(".pt"):
        inner = io.BytesIO(content)
        rewrite(inner, move_to_gpu)
        return inner.getvalue()
    return content


@pytest.fixture(params=["trace", "export"])
def program(request, tmp_path):
    """A program as a GPU would have written it; its kind, path and the loader of plain torch."""
    module = NamesItsDevice().eval()
    if request.param == "trace":
        path, kind, load = tmp_path / "m.pt", TORCHSCRIPT, torch.jit.load
        torch.jit.trace(module, (ROWS,)).save(path)
    else:
        path, kind, load = tmp_path / "m.pt2", EXPORTED_PROGRAM, torch.export.load
        rows = {0: torch.export.Dim("rows")}
        torch.export.save(torch.export.export(module, (ROWS,), dynamic_shapes=(rows,)), path)
    rewrite(path, move_to_gpu)
    return kind, str(path), load


@pytest.mark.skipif(torch.cuda.is_available(), reason="plain torch loads it where there is a GPU")
def test_a_program_from_a_gpu_predicts_on_a_cpu(program):
    kind, path, load = program
    with pytest.raises((AssertionError, NotImplementedError, RuntimeError), match=r"CUDA|cuda"):
        load(path)
    model = make_model(find_model_class(kind), path, FEATURES)
    model.inspect()
    wanted = NamesItsDevice()(ROWS).detach()
    np.testing.assert_array_equal(model.predict(FRAME)["prediction"], wanted)


def test_a_program_from_a_cpu_moves_as_a_whole():
    """To the device that torch has on every machine, which computes shapes but no values."""
    rows = {0: torch.export.Dim("rows")}
    program = torch.export.export(NamesItsDevice(), (ROWS,), dynamic_shapes=(rows,))
    moved = move_to_device_pass(program, "meta").module()
    assert moved(ROWS.to("meta")).shape == (2, 2)
    code = str(torch.jit.trace(NamesItsDevice(), (ROWS,)).code)
    assert set(re.findall(r"device\(.*?\)", code)) == {'device("cpu")'}


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "unpickled"


@pytest.fixture
def hostile_program(tmp_path, mark):
    """An exported program that is intact, except for what one of its weights unpickles to."""
    path = tmp_path / "m.pt2"
    torch.export.save(torch.export.export(NamesItsDevice(), (ROWS,)), path)

    def plant(name, content):
        if name.endswith("model_weights_config.json"):
            return content.replace(b'"use_pickle": false', b'"use_pickle": true')
        if not re.search(r"/weight_\d+$", name):
            return content
        inner = io.BytesIO()
        torch.save(Payload(mark), inner)
        return inner.getvalue()

    rewrite(path, plant)
    return path


@pytest.fixture
def hostile_pickle(tmp_path, mark):
    path = tmp_path / "m.joblib"
    path.write_bytes(pickle.dumps(Payload(mark)))
    return path


def test_the_payload_works(hostile_program, mark):
    with pytest.raises(Exception, match=r".+"):
        torch.export.load(hostile_program)  # of the weights that it makes, which are paths
    assert mark.exists()


@pytest.mark.parametrize("kind", [EXPORTED_PROGRAM, SCIKIT_LEARN])
def test_nothing_is_unpickled_before_somebody_trusts_the_file(
    hostile_program, hostile_pickle, mark, kind
):
    path = str(hostile_program if kind == EXPORTED_PROGRAM else hostile_pickle)
    opts = {"feature_columns": "a,b,c"}
    assert check(path, None, {}).get("problem") is None
    found = check(path, "", {"model_opts": json.dumps(opts)})
    assert "option trusted to true" in found["detail"]
    model = make_model(find_model_class(kind), path, opts)
    for load in (model.inspect, model.ensure_model):
        with pytest.raises(ParameterError, match="option trusted to true"):
            load()
    assert not mark.exists()
