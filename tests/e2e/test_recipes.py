"""The recipes of template/recipes.md, run as they are printed, against the plain libraries."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from launcher.emulator import daemon
from tests.support import BIN, PROJECT_ROOT, bare_environ

pytestmark = pytest.mark.slow

_RECIPE = re.compile(r"<!-- recipe: (\S+) -->\n```sh\n(.*?)```", re.DOTALL)
_START = "flexpack emulator start --detach"
_MOST_LINES = 8
_TIMEOUT_SEC = 300

RECIPES = dict(_RECIPE.findall((PROJECT_ROOT / "template/recipes.md").read_text()))
SHARED = RECIPES.pop("shared")
NEEDS = {
    "scikit-learn": "skops.io",
    "xgboost": "xgboost",
    "texts": "transformers",
    "embeddings": "transformers",
}
TABLE = pd.DataFrame({"age": [20.0, 70, 30, 60], "visits": [9.0, 1, 5, 2]})
TEXTS = ["good film", "bad film", "good good film"]


def run_shell(script: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}"],
        cwd=folder, env=bare_environ(), text=True, timeout=_TIMEOUT_SEC, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the recipes' shared lines have been run, on a free port."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / ".venv").symlink_to(BIN.parent)
    assert SHARED.count(_START) == 1
    try:
        run_shell(SHARED.replace(_START, f"{_START} --port=0"), folder)
        yield folder
    finally:
        daemon.stop(folder / ".flexpack")


@pytest.fixture
def predict(folder, request):
    """Run a recipe; return its rows."""

    def run(name):
        pytest.importorskip(NEEDS.get(name, "torch"))
        begin = 'source .venv/bin/activate\neval "$(flexpack emulator env)"\n'
        printed = run_shell(f"{begin}{RECIPES[name]}", folder)
        assert " 0 dead letters" in printed
        run_shell(f"{begin}flexpack storage cat 'gs://recipes/out/{name}-0*' >rows", folder)
        lines = (folder / "rows").read_text().splitlines()
        if lines[0].startswith("{"):
            return sorted(map(json.loads, lines), key=lambda row: row["key"])
        return list(csv.DictReader(lines))

    return run


def column(rows, name):
    return np.array([row[name] for row in rows])


def test_recipes_have_eight_lines():
    assert len(RECIPES) == 8
    assert max(text.count("\n") for text in RECIPES.values()) <= _MOST_LINES


def test_photographs(folder, predict):
    from PIL import Image

    rows = predict("photographs")
    network = torch.jit.load(folder / "pets.pt")
    for row, name, wide in zip(rows, ("a.jpg", "b.jpg"), ((341, 256), (256, 426)), strict=True):
        assert row["key"].endswith(name)
        image = Image.open(folder / name).convert("RGB").resize(wide, Image.Resampling.BILINEAR)
        left, top = (round((side - 224) / 2) for side in wide)
        pixels = np.asarray(image.crop((left, top, left + 224, top + 224)))
        tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
        mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
        with torch.inference_mode():
            scores = network((tensor - mean) / std)[0].softmax(0)
        assert row["label"] == ("cat", "dog")[int(scores.argmax())]
        assert row["score"] == pytest.approx(float(scores.max()), abs=1e-5)


def test_scikit_learn(folder, predict):
    import skops.io

    rows = predict("scikit-learn")
    assert list(column(rows, "key")) == list("abcd")
    wanted = skops.io.load(folder / "churn.skops").predict(TABLE)
    assert list(column(rows, "prediction")) == list(wanted)


@pytest.mark.wide
def test_xgboost(folder, predict):
    import xgboost

    rows = predict("xgboost")
    model = xgboost.XGBClassifier()
    model.load_model(folder / "churn.ubj")
    assert list(column(rows, "label")) == [("stays", "leaves")[n] for n in model.predict(TABLE)]
    wanted = model.predict_proba(TABLE).max(1)
    np.testing.assert_allclose(column(rows, "score"), wanted, rtol=0, atol=1e-6)


def test_texts(folder, predict):
    import transformers

    rows = predict("texts")
    plain = transformers.pipeline("text-classification", model=str(folder / "sentiment"))
    for row, wanted in zip(rows, map(plain, TEXTS), strict=True):
        assert row["label"] == wanted[0]["label"]
        assert row["score"] == pytest.approx(wanted[0]["score"], abs=1e-6)


@pytest.mark.wide
def test_embeddings(folder, predict):
    import transformers

    rows = predict("embeddings")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "encoder")
    network = transformers.AutoModel.from_pretrained(folder / "encoder").eval()
    for row, text in zip(rows, TEXTS, strict=True):
        with torch.inference_mode():
            vectors = network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        wanted = torch.nn.functional.normalize(vectors.mean(0), dim=0)
        np.testing.assert_allclose(row["embedding"], wanted, rtol=0, atol=1e-6)


@pytest.mark.wide
def test_pt2(folder, predict):
    found = column(predict("pt2"), "prediction")
    with torch.inference_mode():
        wanted = torch.export.load(folder / "risk.pt2").module()(torch.tensor(TABLE.to_numpy("f")))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_passthrough(folder, predict):
    rows = predict("passthrough")
    assert list(column(rows, "customer")) == list("abcd")
    assert list(column(rows, "zip")) == ["01097", "50667", "80331", "10115"]
    with torch.inference_mode():
        wanted = torch.jit.load(folder / "risk.pt")(torch.tensor(TABLE.to_numpy("f"))).tolist()
    found = [json.loads(row["prediction"]) for row in rows]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_outputs(predict):
    rows = predict("outputs")
    assert list(column(rows, "is_young")) == list(TABLE["age"] < 40)
    wanted = TABLE["visits"] / TABLE["age"]
    np.testing.assert_allclose(column(rows, "visits_per_year"), wanted, rtol=1e-6)
