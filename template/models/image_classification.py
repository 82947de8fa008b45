"""Image classification: images prepared by the folder's own processor, without torchvision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from template.blocks import IMAGE
from template.model import Column
from template.models.hugging_face import OWN_FILES, ClassifierModel

_PROCESSOR = "preprocessor_config.json"
_MOST_IMAGES = 64
"""The most rows of one call: bounds its memory."""


class ImageNetwork(NamedTuple):
    """The processor that makes tensors of images, and the network."""

    processor: Any
    network: Any


class ImageClassificationModel(ClassifierModel):
    """A network of ``...ForImageClassification``."""

    def inspect_file(self, local: str) -> None:
        """Set the column, and check that the folder can predict."""
        if self.feature_names:
            raise self._error("feature_columns: the model takes the column image")
        self.columns = [Column(IMAGE, "image")]
        folder = Path(local)
        if self.is_large(folder):
            self._assemble(folder, self.outline_network)
        else:
            self._predict(self.load_file(local), [np.zeros((300, 400, 3), np.uint8)])

    def load_file(self, local: str) -> ImageNetwork:
        """Return processor and network."""
        return self._assemble(Path(local), self.load_network)

    def _assemble(self, folder: Path, load_network: Callable[[Path], Any]) -> ImageNetwork:
        if not (folder / _PROCESSOR).exists():
            raise self._error(
                f"is {self.kind} without {_PROCESSOR}, which says how images become tensors"
            )
        network = load_network(folder)
        from transformers import AutoImageProcessor

        self.inspect_labels(network.config)
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil", **OWN_FILES)
        return ImageNetwork(processor, network)

    def predict(self, df: pd.DataFrame) -> dict[str, Any]:
        """Return labels and scores."""
        loaded, cells = self.ensure_model(), df[IMAGE].tolist()
        parts = [
            self._predict(loaded, cells[start : start + _MOST_IMAGES])
            for start in range(0, len(cells), _MOST_IMAGES)
        ]
        return self.score(np.concatenate(parts))

    def _predict(self, loaded: ImageNetwork, cells: list[Any]) -> np.ndarray:
        """Return the logits of some images."""
        import torch

        pixels = [
            loaded.processor(_to_rgb(np.asarray(cell)), return_tensors="pt")["pixel_values"]
            for cell in cells
        ]
        shapes = {tuple(each.shape) for each in pixels}
        if len(shapes) > 1:
            raise ValueError(f"{_PROCESSOR} makes images of several sizes")
        network = loaded.network
        with torch.inference_mode():
            batch = torch.cat(pixels).to(network.device, network.dtype)
            logits: np.ndarray = network(pixel_values=batch).logits.float().cpu().numpy()
        return logits


def _to_rgb(pixels: np.ndarray) -> Any:
    """Return pixels as a Pillow image."""
    from PIL import Image

    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        values = pixels.astype(np.uint8) if pixels.dtype.kind in "iuf" else None
        if values is None or pixels.ndim not in (2, 3) or not (values == pixels).all():
            raise ValueError(
                f"image of {pixels.dtype}{list(pixels.shape)}: not pixels of 0 to 255, "
                "(height, width) or (height, width, 3)"
            )
        pixels = values
    return Image.fromarray(pixels).convert("RGB")
