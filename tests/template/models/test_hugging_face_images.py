"""Image classification of a Hugging Face folder, without torchvision, against transformers."""

import importlib
import json

import pytest
import torch
from PIL import Image

from template.parameters import ParameterError

pytest.importorskip("transformers")
from tests.template.models.hugging_face_folders import SIZES, save_folder

LABELS = {0: "cat", 1: "dog", 2: "owl"}
PROCESSORS = {
    "ViTImageProcessor": {"size": {"height": 32, "width": 32}, "image_std": [0.2, 0.3, 0.4]},
    "CLIPImageProcessor": {
        "size": {"shortest_edge": 37},
        "crop_size": {"height": 32, "width": 32},
        "resample": 3,
    },
}


@pytest.fixture
def folder(tmp_path):
    """Save a vision transformer without a processor; return folder and network."""
    config = {name: SIZES[name] for name in SIZES if name not in ("vocab_size",)}
    config |= {"image_size": 32, "patch_size": 8, "num_labels": 3, "id2label": LABELS}
    network = save_folder(
        tmp_path / "model", "ViTForImageClassification", tokenizer=False, **config
    )
    return tmp_path / "model", network


@pytest.mark.parametrize("name", PROCESSORS)
def test_images_of_any_size(predict_file, folder, tmp_path, images, name):
    path, network = folder
    kind = name.removesuffix("ImageProcessor").lower()
    module = importlib.import_module(f"transformers.models.{kind}.image_processing_pil_{kind}")
    processor = getattr(module, f"{name}Pil")(**PROCESSORS[name])
    processor.save_pretrained(path)
    shapes = [(50, 70, 3), (33, 90, 3), (64, 41, 3), (45, 60)]
    (tmp_path / "in").mkdir()
    for number, shape in enumerate(shapes):
        image = Image.fromarray(images(1, shape, seed=number)[0])
        image.save(tmp_path / "in" / f"{number}.png")
    outcome = predict_file(path, tmp_path / "in" / "*.png", {}, batch_size=3)
    rows = {row["key"].rpartition("/")[2]: row for row in outcome.predictions}
    for number in range(len(shapes)):
        image = Image.open(tmp_path / "in" / f"{number}.png").convert("RGB")
        with torch.inference_mode():
            logits = network(**processor(image, return_tensors="pt")).logits[0]
        scores = logits.softmax(0)
        row = rows[f"{number}.png"]
        assert row["label"] == LABELS[int(scores.argmax())]
        assert row["score"] == pytest.approx(float(scores.max()), abs=1e-6)


def test_without_a_processor(inspect, folder):
    path, _ = folder
    with pytest.raises(ParameterError, match=r"without preprocessor_config.json, which says how"):
        inspect(path, {})
    (path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "None"}))
    with pytest.raises(ParameterError, match="does not load"):
        inspect(path, {})
