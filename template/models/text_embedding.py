"""Embeddings: one vector for each text, pooled from its tokens' vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from template.model import Option
from template.models.sentence_folder import read_settings
from template.models.text_model import TextModel
from template.models.text_network import Head, Tensor


class TextEmbeddingModel(TextModel):
    """A network without a head, such as ``BertModel``."""

    pooling = Option(
        "text",
        "How the vectors of a text's tokens, including special ones, are combined into one. "
        "Required unless the folder states it, as sentence-transformers folders do.",
        default=None,
        choices={
            "mean": "Their mean",
            "cls": "That of the first token",
            "last": "That of the last token",
            "max": "The largest of each dimension",
        },
    )
    normalize = Option(
        "boolean",
        "Whether embeddings get length 1; default: as the folder states.",
        default=None,
    )
    prompt = Option(
        "text",
        "Text that is put before each text; default: as the folder states.",
        default=None,
    )

    def make_head(self, folder: Path, network: Any) -> Head:
        """Return the function that pools and normalizes.

        Raises:
            ParameterError: nothing says how to pool.
        """
        settings = read_settings(folder)
        pooling = self.pooling or settings.pooling
        if pooling not in _POOLINGS:
            problem = "does not say how the vectors of tokens become one"
            if pooling is not None:
                problem = f"says that its pooling is {pooling}, which only your own class can do"
            raise self._error(
                f"the folder {problem}: set the model's option pooling to mean, cls, last or max"
            )
        normalizes = settings.normalize if self.normalize is None else self.normalize

        def pool(output: Any, mask: Tensor) -> Tensor:
            pooled = _POOLINGS[pooling](output.last_hidden_state.float(), mask)
            return (
                pooled / pooled.norm(dim=1, keepdim=True).clamp_min(1e-12) if normalizes else pooled
            )

        return pool

    def finish(self, output: np.ndarray) -> dict[str, Any]:
        """Return the embeddings, as lists."""
        return {"embedding": output}

    def find_prompt(self, folder: Path) -> str:
        """Return the option's prompt, or that of the folder."""
        return read_settings(folder).prompt if self.prompt is None else self.prompt

    def find_own_max_length(self, folder: Path) -> int | None:
        """Return the length that sentence-transformers states."""
        return read_settings(folder).max_length


def _mean(vectors: Tensor, mask: Tensor) -> Tensor:
    weights = mask[:, :, None].to(vectors.dtype)
    return (vectors * weights).sum(1) / weights.sum(1)


def _last(vectors: Tensor, mask: Tensor) -> Tensor:
    rows = range(len(vectors))
    return vectors[rows, mask.sum(1) - 1]


def _max(vectors: Tensor, mask: Tensor) -> Tensor:
    return vectors.masked_fill(mask[:, :, None] == 0, float("-inf")).max(1).values


_POOLINGS = {
    "mean": _mean,
    "cls": lambda vectors, mask: vectors[:, 0],
    "last": _last,
    "max": _max,
}
