"""The copies of a loaded model, one on each device, which serve the blocks of all threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pandas as pd

from template.blocks import Block
from template.predictor import Part, Predictor


class Copies:
    """Predicts each block on the device with the fewest blocks under way.

    Args:
        predictors: of one model, each on its own device.
    """

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        self.model_id = predictors[0].model_id
        self._predictors = predictors
        self._lock = threading.Lock()
        self._calls = [0] * len(predictors)
        """The number of blocks under way on each device."""

    def predict(self, block: Block) -> pd.DataFrame:
        """Return the predictions of a block; see ``Predictor.predict``."""
        with self._take() as predictor:
            return predictor.predict(block)

    def predict_or_halve(self, block: Block) -> list[Part]:
        """Return predictions and dead letters of a block; see ``Predictor.predict_or_halve``."""
        with self._take() as predictor:
            return predictor.predict_or_halve(block)

    @contextmanager
    def _take(self) -> Iterator[Predictor]:
        with self._lock:
            number = self._calls.index(min(self._calls))
            self._calls[number] += 1
        try:
            yield self._predictors[number]
        finally:
            with self._lock:
                self._calls[number] -= 1
