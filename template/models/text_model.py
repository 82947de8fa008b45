"""Hugging Face models that take texts: the column, the tokenizer, and the length of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from template.model import Column, Option
from template.models.hugging_face import OWN_FILES, HuggingFaceModel
from template.models.text_network import Head, TextNetwork

_TEXT = "text"
_ENDLESS = 1_000_000_000
_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "spiece*", "tokenizer*.bin", "*.tiktoken")
_MOST_ERROR = 1e-5
"""How much padding may change a prediction by rounding, as a share of the largest value."""


class TextModel(HuggingFaceModel):
    """A network for texts, or pairs of them."""

    feature_columns = Option(
        "text",
        "The column of texts (default: text), or two columns, separated by a comma, for pairs of "
        "texts.",
        default=None,
    )
    max_length = Option(
        "integer",
        "The largest number of tokens in a text, including special ones; default: as the folder "
        "states.",
        default=None,
        minimum=1,
    )
    truncation = Option(
        "boolean",
        "Whether a longer text is cut; otherwise its row is a dead letter.",
        default=False,
    )

    def inspect_file(self, local: str) -> None:
        """Set the columns, and check that the folder can predict."""
        names = self.feature_names or (_TEXT,)
        if len(names) > 2:
            raise self._error(
                f"feature_columns names {len(names)} columns; the model takes a text, or a pair"
            )
        self.columns = [Column(name, "text") for name in names]
        folder = Path(local)
        if self.is_large(folder):
            self._assemble(folder, self.outline_network(folder))
        else:
            self.load_file(local).predict([["a b c"] for _ in names])

    def load_file(self, local: str) -> TextNetwork:
        """Return the object that predicts texts."""
        folder = Path(local)
        loaded = self._assemble(folder, self.load_network(folder))
        pads = loaded.network.config.pad_token_id is not None
        pads = pads and loaded.find_padding_error() < _MOST_ERROR
        return replace(loaded, pads=pads)

    def _assemble(self, folder: Path, network: Any) -> TextNetwork:
        """Return a network with its tokenizer and head; it does not pad."""
        tokenizer = self._load_tokenizer(folder)
        config, known = network.config, network.get_input_embeddings().num_embeddings
        if tokenizer.vocab_size > known:
            raise self._error(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the network {known}: they "
                "belong to different models"
            )
        if config.pad_token_id is None and (tokenizer.pad_token_id or 0) < known:
            config.pad_token_id = tokenizer.pad_token_id
        return TextNetwork(
            tokenizer=tokenizer,
            network=network,
            head=self.make_head(folder, network),
            max_length=self._find_max_length(folder, tokenizer, network),
            truncates=self.truncation,
            names=[column.name for column in self.columns],
            prompt=self.find_prompt(folder),
        )

    def predict(self, df: pd.DataFrame) -> Any:
        """Return the prediction for the network's output."""
        columns = [df[column.name].tolist() for column in self.columns]
        return self.finish(self.ensure_model().predict(columns))

    def make_head(self, folder: Path, network: Any) -> Head:
        """Return the function that makes (rows, width) of the network's output."""
        raise NotImplementedError

    def finish(self, output: np.ndarray) -> dict[str, Any]:
        """Return the prediction's columns for the head's result."""
        raise NotImplementedError

    def find_prompt(self, folder: Path) -> str:
        """Return the prompt before each text."""
        return ""

    def find_own_max_length(self, folder: Path) -> int | None:
        """Return the most tokens of a text, as the folder states besides its tokenizer."""
        return None

    def _load_tokenizer(self, folder: Path) -> Any:
        if not any(next(folder.glob(pattern), None) for pattern in _VOCABULARIES):
            raise self._error(
                f"is {self.kind} without a tokenizer: it has no tokenizer.json. Save the model's "
                "tokenizer there too: tokenizer.save_pretrained(folder)"
            )
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(folder, **OWN_FILES)

    def _find_max_length(self, folder: Path, tokenizer: Any, network: Any) -> int:
        bound = _find_positions(network)
        if self.max_length and bound and self.max_length > bound:
            raise self._error(f"option max_length {self.max_length}: the model takes {bound}")
        own: Sequence[int | None] = (
            self.find_own_max_length(folder),
            tokenizer.model_max_length if tokenizer.model_max_length < _ENDLESS else None,
            bound,
        )
        found = self.max_length or min((each for each in own if each), default=None)
        if found is None:
            raise self._error("the folder does not say how long a text may be: set max_length")
        return int(found)


def _find_positions(network: Any) -> int | None:
    """Return the number of the network's token positions; None if unlimited."""
    said = getattr(network.config, "max_position_embeddings", None)
    if not isinstance(said, int) or said <= 0:
        return None
    positions: int = said
    for name, module in network.named_modules():
        padding = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:  # RoBERTa's first is 2
            positions = said - padding - 1
    return positions
