"""Model files of every kind, and models with options, as ``flexpack check`` loads them."""

from __future__ import annotations

import gzip
import io
import zipfile

import pytest
import torch

from launcher.preflight.probes.checkpoint import main

EVERY_OPTION = "tests.template.needs.option_models:EveryOption"


def read(path, model_class=None, **parameters):
    return main(str(path), model_class, parameters)


def zip_of(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 10)
    return content.getvalue()


KINDS = {
    "m.gguf": b"GGUF\3\0\0\0" + bytes(32),
    "m.h5": b"\x89HDF\r\n\x1a\n" + bytes(32),
    "m.pkl.gz": gzip.compress(b"weights"),
    "m.safetensors": (2).to_bytes(8, "little") + b"{}",
    "m.keras": zip_of("config.json", "model.weights.h5"),
    "m.npz": zip_of("weight.npy"),
    "m.zip": zip_of("saved/model.pb"),
    "m.pt2": zip_of("m/models/model.json"),
    "m.ubj": b"{L\0\0\0\0",
    "m.txt": b"tree\nversion=v4\n",
}


@pytest.mark.parametrize("name", KINDS)
def test_a_model_file_of_another_kind_is_left_to_its_class(name, tmp_path):
    (tmp_path / name).write_bytes(KINDS[name])
    assert read(tmp_path / name).get("problem") is None


DAMAGED = {
    "m.onnx": (b"\x08\x09\x12\x07pytorch", "an ONNX model that does not load"),
    "m.ts": (zip_of("m/data.pkl", "m/code/__torch__.py"), "a TorchScript program that does not"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_model_file_is_named(name, tmp_path):
    content, message = DAMAGED[name]
    (tmp_path / name).write_bytes(content)
    found = read(tmp_path / name)
    assert found["problem"] == "unreadable"
    assert message in found["detail"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"who": "me"},
        {"who": "me", "top_k": "7", "half": "true"},
        {"model_opts": '{"who": "me", "top_k": 7}'},
        {},  # a missing parameter is a finding of its own
        {"who": "me", "top_k": "0"},
    ],
    ids=lambda parameters: ",".join(parameters) or "none",
)
def test_a_model_is_loaded_with_the_options_of_the_launch(parameters, tmp_path):
    torch.save({}, tmp_path / "m.pth")
    assert read(tmp_path / "m.pth", EVERY_OPTION, **parameters).get("problem") is None


def test_a_model_says_why_it_does_not_load_with_its_options(tmp_path):
    torch.save({}, tmp_path / "m.pth")
    found = read(tmp_path / "m.pth", EVERY_OPTION, model_opts='{"who": "me", "depth": 3}')
    assert found["problem"] == "misfit"
    assert "unexpected keyword argument 'depth'" in found["detail"]
