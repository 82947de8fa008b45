"""The copies of a loaded model, one on each device, which serve the blocks of all threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pandas as pd

from template.blocks import Block
from template.dead_letters import describe
from template.device import is_device_failure
from template.predictor import Part, Predictor

_log = logging.getLogger(__name__)


class Copies:
    """Predicts each block on the device with the fewest blocks under way.

    A device that fails gets no more blocks while another works. Otherwise it would get all of them,
    because its calls fail at once and it would be the least busy. Its block fails, and the runner
    tries the block again.

    Args:
        predictors: of one model, each on its own device.
    """

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        self.model_id = predictors[0].model_id
        self._predictors = predictors
        self._lock = threading.Lock()
        self._calls = [0] * len(predictors)
        """The number of blocks under way on each device."""
        self._lost: set[int] = set()
        """The devices that failed."""

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
            everyone = range(len(self._calls))
            usable = [number for number in everyone if number not in self._lost] or everyone
            number = min(usable, key=self._calls.__getitem__)
            self._calls[number] += 1
        try:
            yield self._predictors[number]
        except BaseException as error:
            if is_device_failure(error):
                self._give_up(number, error)
            raise
        finally:
            with self._lock:
                self._calls[number] -= 1

    def _give_up(self, number: int, error: BaseException) -> None:
        """Send no more blocks to a device while others work."""
        with self._lock:
            if number in self._lost:
                return
            self._lost.add(number)
            left = len(self._predictors) - len(self._lost)
        if left:
            _log.error(
                "%s failed (%s): this process predicts on the other %d of its devices from now on",
                self._predictors[number].device,
                describe(error),
                left,
            )
