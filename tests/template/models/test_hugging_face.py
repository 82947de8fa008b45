"""Hugging Face folders without a class, against plain transformers."""

import json
import random
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

from template.models.kinds import find_kind
from template.options import find_model_class
from template.parameters import ParameterError

transformers = pytest.importorskip("transformers")
from tests.template.models.hugging_face_folders import (  # noqa: E402
    LENGTH,
    SIZES,
    draw_texts,
    make_tokenizer,
    save_folder,
)

TEXTS = draw_texts(40)
LABELS = {0: "bad", 1: "so-so", 2: "good"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("something asks the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def save(tmp_path):
    """Save a folder; return its path and the network."""

    def write(architecture="BertForSequenceClassification", **config):
        config = SIZES | config if architecture.startswith("Bert") else config
        return tmp_path / "model", save_folder(tmp_path / "model", architecture, **config)

    return write


def load(path, **opts):
    """Return the model of a folder, as a launch makes it."""
    model = find_model_class(find_kind(str(path)))(str(path), opts)
    model.inspect()
    return model


def classify(network, texts, **settings):
    """Return what transformers' own pipeline says of every text alone."""
    pipeline = transformers.pipeline(
        "text-classification", model=network, tokenizer=make_tokenizer(), device="cpu"
    )
    return [pipeline(text, top_k=None, **settings) for text in texts]


def embed(network, texts, pool):
    """Return what a network and a function make of every text alone."""
    rows = [make_tokenizer()(text, return_tensors="pt") for text in texts]
    with torch.inference_mode():
        vectors = [network(**row).last_hidden_state[0] for row in rows]
    return np.array([pool(each).numpy() for each in vectors])


@pytest.mark.parametrize("packed", ["folder", "tar.gz"])
def test_text_classification(predict_file, save, tmp_path, packed):
    path, network = save(num_labels=3, id2label=LABELS)
    if packed != "folder":
        path = shutil.make_archive(str(tmp_path / "packed"), "gztar", path)
    order = random.Random(1).sample(range(len(TEXTS)), len(TEXTS))
    lines = [json.dumps({"id": f"r{n}", "other": n, "text": TEXTS[n]}) for n in order]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    settings = {"key_column": "id", "batch_size": 7 if packed == "folder" else 1024}
    rows = predict_file(path, tmp_path / "in.jsonl", {}, **settings).by_key()
    for n, wanted in enumerate(classify(network, TEXTS)):
        assert rows[f"r{n}"]["label"] == wanted[0]["label"]
        assert rows[f"r{n}"]["score"] == pytest.approx(wanted[0]["score"], abs=1e-6)
    assert np.std([row["score"] for row in rows.values()]) > 1e-2


def test_the_best_labels_with_names_of_the_launch(save):
    path, network = save(num_labels=3)
    found = load(path, top_k=2, class_names="x,y,z").predict(pd.DataFrame({"text": TEXTS}))
    for n, wanted in enumerate(classify(network, TEXTS)):
        best = ["xyz"[int(each["label"].removeprefix("LABEL_"))] for each in wanted[:2]]
        assert found["labels"][n] == best
        assert found["scores"][n] == pytest.approx([e["score"] for e in wanted[:2]], abs=1e-6)


@pytest.mark.parametrize(
    "config",
    [
        {"num_labels": 3, "problem_type": "multi_label_classification"},
        {"num_labels": 1},
        {"num_labels": 1, "problem_type": "regression"},
    ],
)
def test_scores_are_those_of_the_problem(save, config):
    path, network = save(**config)
    found = load(path).predict(pd.DataFrame({"text": TEXTS}))
    assert ("label" in found) == (config["num_labels"] > 1)
    wanted = [each[0]["score"] for each in classify(network, TEXTS)]
    np.testing.assert_allclose(found["score"], wanted, rtol=0, atol=1e-6)
    raw = load(path, activation="none").predict(pd.DataFrame({"text": TEXTS}))
    wanted = [each[0]["score"] for each in classify(network, TEXTS, function_to_apply="none")]
    np.testing.assert_allclose(raw["score"], wanted, rtol=1e-6, atol=1e-6)


def test_pairs_of_texts(save):
    path, network = save(num_labels=3)
    half = draw_texts(40, LENGTH // 2 - 3)
    frame = pd.DataFrame({"premise": half, "hypothesis": half[::-1]})
    found = load(path, feature_columns="premise,hypothesis").predict(frame)
    pairs = [{"text": a, "text_pair": b} for a, b in zip(half, half[::-1], strict=True)]
    wanted = [each[0]["score"] for each in classify(network, pairs)]
    np.testing.assert_allclose(found["score"], wanted, rtol=0, atol=1e-6)


POOLS = {
    "mean": lambda vectors: vectors.mean(0),
    "cls": lambda vectors: vectors[0],
    "last": lambda vectors: vectors[-1],
    "max": lambda vectors: vectors.max(0).values,
}


@pytest.mark.parametrize("pooling", POOLS)
def test_embeddings(save, pooling):
    path, network = save("BertModel")
    wanted = embed(network, TEXTS, POOLS[pooling])
    model = load(path, pooling=pooling)
    for order in (range(40), random.Random(2).sample(range(40), 40)):
        for start in range(0, 40, 7):
            some = list(order)[start : start + 7]
            found = model.predict(pd.DataFrame({"text": [TEXTS[n] for n in some]}))["embedding"]
            np.testing.assert_allclose(found, wanted[some], rtol=0, atol=1e-6)
    found = load(path, pooling=pooling, normalize=True).predict(pd.DataFrame({"text": TEXTS}))
    lengths = np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(found["embedding"], wanted / lengths, rtol=0, atol=1e-6)


def test_what_sentence_transformers_says(save):
    path, network = save("BertModel")
    steps = [
        {"type": f"sentence_transformers.models.{name}", "path": f"{number}_{name}"}
        for number, name in enumerate(("Transformer", "Pooling", "Normalize"))
    ]
    (path / "1_Pooling").mkdir()
    pooling = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    prompts = {"prompts": {"query": "so the "}, "default_prompt_name": "query"}
    for name, content in {
        "modules.json": steps,
        "1_Pooling/config.json": pooling,
        "sentence_bert_config.json": {"max_seq_length": 12, "do_lower_case": False},
        "config_sentence_transformers.json": prompts,
    }.items():
        (path / name).write_text(json.dumps(content))
    short = draw_texts(40, 8)
    wanted = embed(network, [f"so the {text}" for text in short], POOLS["mean"])
    found = load(path).predict(pd.DataFrame({"text": short}))["embedding"]
    lengths = np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(found, wanted / lengths, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="13 tokens; the model takes 12"):
        load(path).predict(pd.DataFrame({"text": ["film " * 9]}))
    (path / "1_Pooling/config.json").write_text('{"pooling_mode": "lasttoken"}')  # as from 5.0 on
    wanted = embed(network, [f"so the {text}" for text in short], POOLS["last"])
    found = load(path, normalize=False).predict(pd.DataFrame({"text": short}))["embedding"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    (path / "1_Pooling/config.json").write_text('{"pooling_mode": "weightedmean"}')
    with pytest.raises(ParameterError, match=r"its pooling is weightedmean, .*: set the model's"):
        load(path)
    load(path, pooling="mean")
    (path / "1_Pooling/config.json").write_text(json.dumps(pooling | {"include_prompt": False}))
    with pytest.raises(ParameterError, match="it pools without its prompt"):
        load(path)
    (path / "modules.json").write_text(json.dumps([*steps, {"type": "st.Dense", "path": "3"}]))
    with pytest.raises(ValueError, match=r"modules.json has the step Dense"):
        load(path)


@pytest.mark.parametrize(
    ("architecture", "config", "pads"),
    [
        ("GPT2ForSequenceClassification", {"n_embd": 16, "n_layer": 2, "n_head": 2}, True),
        ("RobertaForSequenceClassification", SIZES | {"max_position_embeddings": 42}, True),
        ("FNetForSequenceClassification", SIZES, False),  # it has no mask: padding changes all
    ],
)
def test_rows_do_not_depend_on_their_neighbours(save, architecture, config, pads):
    config = {"vocab_size": SIZES["vocab_size"], "num_labels": 3, "pad_token_id": 0} | config
    path, network = save(architecture, **config)
    model = load(path, activation="none", top_k=3)
    assert model.ensure_model().pads == pads
    found = model.predict(pd.DataFrame({"text": TEXTS}))["scores"]
    backwards = model.predict(pd.DataFrame({"text": TEXTS[::-1]}))["scores"]
    np.testing.assert_allclose(found, backwards[::-1], rtol=1e-6, atol=1e-6)
    wanted = [
        [each["score"] for each in row]
        for row in classify(network, TEXTS, function_to_apply="none")
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert np.std(found, axis=0).min() > 1e-3


def test_a_text_that_is_too_long(predict_file, save, tmp_path, caplog):
    path, network = save(num_labels=3)
    long = ["good " * 60, None, "bad film"]
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps({"text": each}) for each in long))
    outcome = predict_file(path, tmp_path / "in.jsonl", {})
    errors = [letter["error"] for letter in outcome.dead_letters]
    assert len(outcome.predictions) == 1
    assert any("62 tokens; the model takes 40. The option truncation=true" in e for e in errors)
    assert any("column 'text': the text is missing" in each for each in errors)
    assert "predict raised ValueError: column 'text': the text is missing" in caplog.text
    assert "Traceback" not in caplog.text
    found = load(path, truncation=True, max_length=10).predict(pd.DataFrame({"text": TEXTS}))
    wanted = classify(network, TEXTS, truncation=True, max_length=10)
    np.testing.assert_allclose(found["score"], [e[0]["score"] for e in wanted], rtol=0, atol=1e-6)


def test_bfloat16_is_near(predict_file, save, tmp_path):
    path, network = save(num_labels=3)
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps({"text": each}) for each in TEXTS))
    rows = predict_file(path, tmp_path / "in.jsonl", {}, precision="bfloat16").by_key()
    found = [rows[f"in.jsonl#{n}"]["score"] for n in range(len(TEXTS))]
    wanted = [each[0]["score"] for each in classify(network, TEXTS)]
    assert 0 < np.abs(np.array(found) - wanted).max() < 1 / 16


def test_threads_share_a_model(save):
    path, _ = save("BertModel")
    model = load(path, pooling="mean", truncation=True)
    frames = [pd.DataFrame({"text": TEXTS[start:] + TEXTS[:start]}) for start in range(8)]
    wanted = [model.predict(frame)["embedding"] for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        found = [each["embedding"] for each in pool.map(model.predict, frames * 4)]
    for number, each in enumerate(found):
        np.testing.assert_allclose(each, wanted[number % 8], rtol=0, atol=1e-6)
