"""A transformers network that takes texts: tokens in batches, with independent rows.

A row's padded length depends only on the row, so its prediction does not depend on the other
rows of its block. If padding changes a network's outputs, its rows are not padded.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Tensor: TypeAlias = Any
"""A torch tensor, which mypy does not see."""
Head = Callable[[Any, Tensor], Tensor]
"""Makes predictions (rows, width) from a network's output and its mask (rows, tokens)."""

_STEP = 8
"""Rows are padded to a multiple of this many tokens."""
_MOST_TOKENS = 16_384
"""The most rows of one call: bounds its memory."""
_PROBE = "a b"


@dataclass(frozen=True, eq=False)
class TextNetwork:
    """A tokenizer, a network, and its head.

    Attributes:
        max_length: the most tokens of a row.
        truncates: whether longer rows are cut; otherwise they are refused.
        prompt: text before each text.
        names: of the columns, for messages.
        pads: whether rows may be padded.
    """

    tokenizer: Any
    network: Any
    head: Head
    max_length: int
    truncates: bool
    names: Sequence[str]
    prompt: str = ""
    pads: bool = False

    def predict(self, columns: Sequence[Sequence[str | None]]) -> np.ndarray:
        """Return (rows, width) of float32 for texts, or for pairs of texts.

        Raises:
            ValueError: a text is missing, too long, or has no tokens.
        """
        rows = self.tokenize(columns)
        lengths = [len(ids) for ids in rows["input_ids"]]
        result: np.ndarray | None = None
        for positions, width in self._batch(lengths):
            part = self._run(rows, positions, width)
            if result is None:
                result = np.empty((len(lengths), part.shape[1]), np.float32)
            result[positions] = part
        assert result is not None, "a block has rows"
        return result

    def tokenize(self, columns: Sequence[Sequence[str | None]]) -> dict[str, list[list[int]]]:
        """Return the tokens of rows, by the names of the network's arguments."""
        for name, texts in zip(self.names, columns, strict=True):
            if any(text is None for text in texts):
                raise ValueError(f"column {name!r}: the text is missing")
        first = [f"{self.prompt}{text}" for text in columns[0]]
        # Always with the same arguments, because others would change the tokenizer while another
        # thread uses it.
        cut = {"truncation": True, "max_length": self.max_length} if self.truncates else {}
        encoded = self.tokenizer(first, *columns[1:], padding=False, verbose=False, **cut)
        longest = max(map(len, encoded["input_ids"]))
        if longest > self.max_length:
            raise ValueError(
                f"column {self.names[0]!r}: {longest} tokens; the model takes {self.max_length}. "
                "The option truncation=true cuts longer texts"
            )
        if not all(encoded["input_ids"]):
            raise ValueError(f"column {self.names[0]!r}: the text has no tokens")
        taken = inspect.signature(self.network.forward).parameters
        return {name: rows for name, rows in encoded.items() if name in taken}

    def find_padding_error(self) -> float:
        """Return how much padding changes a prediction, as a share of its largest value."""
        rows = self.tokenize([[_PROBE] for _ in self.names])
        length = len(rows["input_ids"][0])
        plain, padded = (self._run(rows, [0], length + more) for more in (0, _STEP))
        return float(np.abs(plain - padded).max() / max(np.abs(plain).max(), 1e-12))

    def _batch(self, lengths: Sequence[int]) -> Iterator[tuple[list[int], int]]:
        """Yield the rows of each call and their padded length."""
        by_width: dict[int, list[int]] = defaultdict(list)
        for position, length in enumerate(lengths):
            wide = min(-(-length // _STEP) * _STEP, self.max_length) if self.pads else length
            by_width[wide].append(position)
        for width, positions in sorted(by_width.items()):
            has_pad = self.network.config.pad_token_id is not None
            rows = max(_MOST_TOKENS // width, 1) if has_pad else 1
            for start in range(0, len(positions), rows):
                yield positions[start : start + rows], width

    def _run(self, rows: dict[str, list[list[int]]], positions: list[int], width: int) -> Any:
        import torch

        fill = {
            "input_ids": self.network.config.pad_token_id or 0,
            "token_type_ids": self.tokenizer.pad_token_type_id,
        }
        arrays = {
            name: np.full((len(positions), width), fill.get(name, 0), np.int64) for name in rows
        }
        mask = np.zeros((len(positions), width), np.int64)
        for number, position in enumerate(positions):
            for name, array in arrays.items():
                ids = rows[name][position]
                array[number, : len(ids)] = ids
            mask[number, : len(rows["input_ids"][position])] = 1
        device = self.network.device
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(each).to(device) for name, each in arrays.items()}
            output = self.network(**tensors)
            return self.head(output, torch.from_numpy(mask).to(device)).float().cpu().numpy()
