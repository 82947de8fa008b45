"""What the GPU benchmark predicts: networks, their models and input files.

Weights are random and files are drawn, so a bare machine needs neither; the speed does not
depend on them.
"""

from __future__ import annotations

import importlib.util
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from template.model import BaseModel, Images
from template.models.fashion_mnist_network import FashionMnistNetwork
from tests.gpu.clock import Clock

CLOCK = Clock()
"""Of this process."""
_DISTINCT_PICTURES = 100
_PICTURE = (375, 500)
_PACKAGE = "efficientnet_lite_pytorch"


class Bottleneck(nn.Module):
    """A residual block of three convolutions, as in https://arxiv.org/abs/1512.03385."""

    def __init__(self, inner: int, outer: int, before: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU()),
            nn.Conv2d(inner, inner, 3, stride, 1, bias=False),
            *(nn.BatchNorm2d(inner), nn.ReLU()),
            *(nn.Conv2d(inner, outer, 1, bias=False), nn.BatchNorm2d(outer)),
        )
        self.short = nn.Identity()
        if before != outer:
            shortcut = nn.Conv2d(before, outer, 1, stride, bias=False)
            self.short = nn.Sequential(shortcut, nn.BatchNorm2d(outer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.short(x))


def make_resnet() -> nn.Module:
    """Return a network of ResNet-50's size, 25.5 million weights, for grey images."""
    stem = [nn.Conv2d(1, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    layers: list[nn.Module] = [*stem, nn.MaxPool2d(3, 2, 1)]
    before = 64
    for inner, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for number in range(blocks):
            layers.append(Bottleneck(inner, 4 * inner, before, 1 if number else stride))
            before = 4 * inner
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 1000))


def make_efficientnet() -> nn.Module:
    """Return EfficientNet-Lite0."""
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    return network


class Workload(BaseModel):
    """Column ``value`` is the class; the clock runs from the first forward pass to the last."""

    def make_network(self) -> nn.Module:
        """Return the network on the CPU."""
        raise NotImplementedError

    def load_model(self, path: str) -> nn.Module:
        """Return the network on the device, warmed up."""
        torch.manual_seed(0)
        network = self.make_network().to(self.device).eval()
        declared = self.images.declared
        channels = 3 if declared.mode == "RGB" else 1
        with torch.inference_mode():
            network(torch.zeros(2, channels, *declared.shape[:2], device=self.device)).cpu()
        return network

    def predict(self, df: pd.DataFrame) -> dict[str, torch.Tensor]:
        """Return the most likely class of each image."""
        network = self.ensure_model()
        CLOCK.begin()
        with torch.inference_mode():
            value = network(self.images(df)).argmax(1).cpu()
        CLOCK.end(len(df))
        return {"value": value}


class Mlp(Workload):
    """The built-in model's network, small: 0.7 million weights."""

    images = Images(28, mode="L")

    def make_network(self) -> nn.Module:
        return FashionMnistNetwork()


class ResNet(Workload):
    """A network of ResNet-50's size on images that need no decoding."""

    images = Images(224, mode="L")

    def make_network(self) -> nn.Module:
        return make_resnet()


class EfficientNet(Workload):
    """EfficientNet-Lite0 on JPEG files."""

    images = Images(224, fit="stretch", mean=127 / 255, std=128 / 255)

    def make_network(self) -> nn.Module:
        return make_efficientnet()


WORKLOADS: dict[str, type[Workload]] = {"mlp": Mlp, "resnet": ResNet, "efficientnet": EfficientNet}


def find_obstacle(name: str) -> str | None:
    """Return why a workload cannot run here."""
    if name == "efficientnet" and importlib.util.find_spec(_PACKAGE) is None:
        return f"{_PACKAGE} is not installed: make bench-gpu installs the extra bench"
    return None


def write_input(name: str, folder: Path, rows: int) -> None:
    """Write the images of a workload into a new folder: an IDX file, or JPEG files."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    if name == "efficientnet":
        for number in range(rows):
            path = folder / f"{number:06}.jpg"
            if number < _DISTINCT_PICTURES:
                _draw(rng).save(path, quality=90)
            else:
                os.link(folder / f"{number % _DISTINCT_PICTURES:06}.jpg", path)
        return
    side = WORKLOADS[name].images.shape[0]
    with (folder / "images-idx3-ubyte").open("wb") as file:
        file.write(struct.pack(">IIII", 0x803, rows, side, side))
        for start in range(0, rows, 1024):
            count = min(1024, rows - start)
            file.write(rng.integers(0, 256, (count, side, side), dtype=np.uint8).tobytes())


def _draw(rng: np.random.Generator) -> Image.Image:
    """Return a picture with the detail of a photograph: about 90 kB as JPEG."""
    height, width = _PICTURE
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = rng.normal(0, 12, (height, width, 3))
    return Image.fromarray((np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8))


def read_batches(
    name: str, folder: Path, size: int
) -> Iterator[tuple[list[str], list | np.ndarray]]:
    """Yield keys, and paths of pictures or an array of images, of each batch."""
    if name == "efficientnet":
        paths = sorted(folder.iterdir())
        for start in range(0, len(paths), size):
            batch = paths[start : start + size]
            yield [path.name for path in batch], batch
        return
    (path,) = folder.iterdir()
    with path.open("rb") as file:
        _, _, side, _ = struct.unpack(">IIII", file.read(16))
        row = 0
        while content := file.read(size * side * side):
            images = np.frombuffer(bytearray(content), np.uint8).reshape(-1, side, side)
            yield [f"{path.name}#{row + number}" for number in range(len(images))], images
            row += len(images)


def decode(path: Path) -> np.ndarray:
    """Return a picture as EfficientNet expects it."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))
