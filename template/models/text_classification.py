"""Text classification: the labels of a Hugging Face folder, with their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from template.models.hugging_face import ClassifierModel
from template.models.text_model import TextModel
from template.models.text_network import Head


class TextClassificationModel(TextModel, ClassifierModel):
    """A network of ``...ForSequenceClassification``."""

    def make_head(self, folder: Path, network: Any) -> Head:
        """Return the function that takes the logits."""
        self.inspect_labels(network.config)
        return lambda output, mask: output.logits

    def finish(self, output: np.ndarray) -> dict[str, Any]:
        """Return labels and scores."""
        return self.score(output)
