"""Hugging Face folders that a launch refuses, with the reason and before the first row."""

import json
import sys

import pytest
import torch

from launcher.preflight.probes.checkpoint import main as probe
from template.models import hugging_face
from template.parameters import ParameterError
from template.run import run

pytest.importorskip("transformers")
from tests.template.models.hugging_face_folders import (
    SIZES,
    make_tokenizer,
    save_folder,
)


@pytest.fixture
def folder(tmp_path):
    save_folder(tmp_path / "model", "BertForSequenceClassification", num_labels=3, **SIZES)
    return tmp_path / "model"


def change_config(folder, **fields):
    config = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps(config))


def cut(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def pickle_weights(folder):
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def lose_weights(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def lose_tokenizer(folder):
    for each in folder.glob("token*"):
        each.unlink()


def change_network(folder):
    save_folder(folder, "BertForSequenceClassification", **SIZES | {"vocab_size": 10})


PROBLEMS = {
    "masked": (
        lambda folder: change_config(folder, architectures=["BertForMaskedLM"]),
        r"whose architecture is BertForMaskedLM; supported are text classification "
        r"\(...ForSequenceClassification\), embeddings of texts \(...Model\)",
    ),
    "nameless": (lambda folder: change_config(folder, architectures=None), "is not named"),
    "unknown": (
        lambda folder: change_config(folder, architectures=["OwnForSequenceClassification"]),
        r"OwnForSequenceClassification, which transformers \S+ does not have",
    ),
    "no-json": (lambda folder: (folder / "config.json").write_text("{"), "config.json is not JSON"),
    "no-config": (lambda folder: (folder / "config.json").unlink(), "weights without config.json"),
    "no-weights": (lambda folder: (folder / "model.safetensors").unlink(), "without weights"),
    "damaged": (cut, "is a Hugging Face folder that does not load: SafetensorError"),
    "other-weights": (lose_weights, "1 are missing, such as classifier.weight"),
    "pickled": (pickle_weights, r"weights are pickled \(pytorch_model.bin\).*trusted to true"),
    "no-tokenizer": (lose_tokenizer, "without a tokenizer: it has no tokenizer.json"),
    "other-network": (change_network, "tokenizer has 12 tokens, the network 10"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_folder_that_does_not_do(inspect, folder, name):
    damage, reason = PROBLEMS[name]
    damage(folder)
    with pytest.raises(ParameterError, match=reason):
        inspect(folder, {})


def test_pickled_weights_that_are_trusted_hold_weights_only(inspect, folder):
    pickle_weights(folder)
    inspect(folder, {"trusted": True})
    torch.save(print, folder / "pytorch_model.bin")
    with pytest.raises(ParameterError, match="does not load"):
        inspect(folder, {"trusted": True})


@pytest.mark.parametrize(
    ("opts", "reason"),
    [
        ({"feature_columns": "a,b,c"}, "names 3 columns; the model takes a text, or a pair"),
        ({"class_names": "a,b"}, "2 names; the model has 3 classes"),
        ({"max_length": 41}, "option max_length 41: the model takes 40"),
        ({"pooling": "mean"}, "no option 'pooling'"),
    ],
)
def test_a_wrong_option(inspect, folder, opts, reason):
    with pytest.raises(ParameterError, match=reason):
        inspect(folder, opts)


def test_a_tokenizer_may_have_tokens_of_its_own(folder):
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<more>"])
    tokenizer.save_pretrained(folder)
    assert probe(str(folder), "", {}).keys() == {"file_bytes"}


def test_embeddings_need_a_pooling(inspect, tmp_path):
    save_folder(tmp_path / "model", "BertModel", **SIZES)
    with pytest.raises(ParameterError, match="option pooling to mean, cls, last or max"):
        inspect(tmp_path / "model", {})


def test_a_missing_framework_is_named(inspect, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ParameterError, match=r"needs transformers: .*\[transformers\]"):
        inspect(folder, {})


def test_code_in_a_folder_is_not_run(inspect, folder):
    change_config(folder, auto_map={"AutoModelForSequenceClassification": "evil.Model"})
    (folder / "evil.py").write_text("raise AssertionError('it was run')")
    inspect(folder, {})


def test_a_missing_column_ends_the_launch(folder, tmp_path, capsys):
    (tmp_path / "in.csv").write_text("review\ngood film\n")
    flags = [f"--input={tmp_path}/in.csv", f"--output={tmp_path}/out/p", "--device=cpu"]
    assert run([*flags, f"--model_path={folder}", "--runner=FnApiRunner"]) == 2
    reason = "in.csv': no column 'text', which the model needs; its columns: review"
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_is_checked(folder):
    assert probe(str(folder), None, {}).keys() == {"file_bytes"}
    assert probe(str(folder), "", {}).keys() == {"file_bytes"}
    cut(folder)
    found = probe(str(folder), None, {})
    assert found["problem"] == "unreadable"
    assert "SafetensorError" in found["detail"]


def test_an_adapter_is_named(inspect, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(ParameterError, match=r"is an adapter .* without its model: merge it"):
        inspect(tmp_path, {})


@pytest.fixture
def without_loading(monkeypatch):
    """Treat every folder as a large one, whose weights a launch does not load."""
    monkeypatch.setattr(hugging_face, "MOST_TRIED_BYTES", 0)
    monkeypatch.setattr(hugging_face.HuggingFaceModel, "load_network", None)


@pytest.mark.parametrize("name", sorted(PROBLEMS.keys() - {"other-weights"}))
def test_a_large_folder_that_does_not_do_is_refused_by_its_metadata(
    inspect, folder, name, without_loading
):
    test_a_folder_that_does_not_do(inspect, folder, name)


@pytest.mark.parametrize(
    ("architecture", "opts"),
    [
        ("BertForSequenceClassification", {"class_names": "a,b"}),
        ("BertModel", {"pooling": "mean"}),
        ("ViTForImageClassification", {}),
    ],
)
def test_a_large_folder_ends_no_launch_without_loading(
    inspect, tmp_path, architecture, opts, without_loading
):
    config = {"image_size": 32, "patch_size": 8, "num_labels": 2}
    config |= {name: SIZES[name] for name in SIZES if name.endswith(("size", "layers", "heads"))}
    is_text = architecture.startswith("Bert")
    if not is_text:
        config.pop("vocab_size")
    save_folder(tmp_path / "model", architecture, tokenizer=is_text, **config)
    if not is_text:
        import transformers

        transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(
            tmp_path / "model"
        )
    model = inspect(tmp_path / "model", opts).model
    assert [column.name for column in model.columns] == ["text" if is_text else "image"]


def test_a_part_that_a_large_folder_lacks_is_named(inspect, folder, without_loading):
    parts = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(parts))
    with pytest.raises(ParameterError, match=r"incomplete: model-00002-of-00002\.safetensors"):
        inspect(folder, {})
