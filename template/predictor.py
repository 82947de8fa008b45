"""Calls of a model's ``predict``: on a block, on one row of it, on its halves.

All calls go through one step, ``_attempt``: rows, as read, give predictions or a ``Failure``. A
failed block is halved until the rows that cannot be predicted stand alone. Errors that no row can
cause are raised: a result of an unusable kind or size, a lost GPU.
"""

from __future__ import annotations

import dis
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pandas as pd

from template.blocks import MODEL_ID, Block
from template.compute import Compute, watch_torch
from template.dead_letters import NOT_TRIED_ALONE, DeadLetter, describe
from template.device import is_device_failure, release_memory
from template.failures import Failure, Failures
from template.model import BaseModel
from template.models.file_model import FileModel
from template.predict_result import (
    EntryCountError,
    TakenColumnError,
    UnusablePredictionError,
    join_predictions,
)
from template.rows import Rows, own_frame
from template.timeout import time_limit
from template.turns import turns_on

_TEMPLATE = Path(__file__).parent
_SHOWN_MISFITS = 3
_SHOWN_TEXT = 200

Part = pd.DataFrame | DeadLetter
"""Predictions of some rows of a block, or one row without a prediction."""


class Predictor:
    """Predicts blocks with one loaded model; the threads of a process share it.

    Args:
        model: the model, loaded.
        model_id: its name in predictions and messages.
        key_columns: the columns beside a block that are its key.
        reserved_columns: names that ``predict`` must not return.
        compute: the model's device and precision.
        timeout_sec: how long a call may take before the process ends; None for no limit.
        failures: the record of failed calls.
        checks_precision: whether a model that does not call torch is an error.
    """

    def __init__(
        self,
        model: BaseModel,
        *,
        model_id: str,
        key_columns: Sequence[str],
        reserved_columns: Sequence[str],
        compute: Compute,
        timeout_sec: float | None = None,
        failures: Failures,
        checks_precision: bool = False,
    ) -> None:
        self.model_id = model_id
        self._model = model
        self._key_columns = key_columns
        self._reserved_columns = reserved_columns
        self._compute = compute
        self._timeout_sec = timeout_sec
        self._failures = failures
        self._turns = turns_on(compute.device)
        self._checked = False
        self._checks_precision = checks_precision

    @property
    def device(self) -> str:
        """The device of the model, of torch's names."""
        return self._compute.device

    def predict(self, block: Block) -> pd.DataFrame:
        """Return the predictions of a block.

        Raises:
            Exception: the exception of ``predict``, or the problem of its result.
        """
        rows = Rows(block)
        self._check(rows, 0, len(rows))
        try:
            with self._turns.shared():
                predictions = self._call(rows, 0, len(rows))
        except Exception:
            raise
        except BaseException as error:
            if _is_ctrl_c(error):
                raise
            # A thread of Beam's worker that ended by SystemExit would never answer.
            raise RuntimeError(f"predict raised {describe(error)}") from error
        return self._accept(rows, 0, len(rows), predictions)

    def predict_or_halve(self, block: Block) -> list[Part]:
        """Return the predictions of the rows that have one, and the others as dead letters.

        Raises:
            UnusablePredictionError: ``predict`` returned something that no row can cause: a wrong
                type, more entries than rows, a different number for a block than for its halves.
            NothingPredictedError: it is time to give up.
        """
        rows = Rows(block)
        failed: dict[int, Failure] = {}
        parts = list(self._predict_parts(rows, failed)) if len(rows) else []
        if failed:
            wholly = len(failed) == len(rows)
            self._failures.note_block(block, failed.values(), wholly=wholly)
        return parts

    def _predict_parts(self, rows: Rows, failed: dict[int, Failure]) -> Iterator[Part]:
        """Predict a block; ``failed`` gets the rows without a prediction."""
        stop = len(rows)
        tried_alone: dict[int, Failure] = {}
        if not self._failures.are_all_alike:
            self._check(rows, 0, stop)
        elif stop > 1:
            # The middle row, because a first row is more often unusual, for instance a header.
            middle = stop // 2
            alone = self._attempt(rows, middle, middle + 1)
            if isinstance(alone, Failure):
                tried_alone[middle] = alone
            else:
                self._accept(rows, middle, middle + 1, alone)
        outcome = self._attempt(rows, 0, stop)
        is_in_vain = self._failures.are_all_alike and stop > 1
        if isinstance(outcome, Failure) and is_in_vain and not outcome.entries:
            for position in range(stop):
                failed[position] = tried_alone.get(position, outcome)
                tried = position in tried_alone
                yield self._dead_letter(rows, position, failed[position], tried_alone=tried)
        else:
            yield from self._settle(rows, 0, stop, outcome, failed)

    def _settle(
        self,
        rows: Rows,
        start: int,
        stop: int,
        outcome: pd.DataFrame | Failure,
        failed: dict[int, Failure],
    ) -> Iterator[Part]:
        """Yield the results of rows attempted together."""
        if isinstance(outcome, pd.DataFrame):
            yield self._accept(rows, start, stop, outcome)
            return
        if stop - start == 1:
            failed[start] = outcome
            yield self._dead_letter(rows, start, outcome)
            return
        middle = (start + stop) // 2
        halves = ((start, middle), (middle, stop))
        outcomes = [self._attempt(rows, *half) for half in halves]
        _check_sum(stop - start, outcome, outcomes)
        for half, each in zip(halves, outcomes, strict=True):
            yield from self._settle(rows, *half, each, failed)

    def _check(self, rows: Rows, start: int, stop: int) -> None:
        """Check once, before a result is accepted, that the number of entries is not a coincidence.

        A list with as many columns as rows looks like one entry per row; predicting a single row
        reveals the difference. A row that raises proves nothing.
        """
        if not self._checked and stop - start > 1:
            outcome = self._attempt(rows, start, start + 1)
            self._checked = isinstance(outcome, pd.DataFrame) or outcome.entries is not None

    def _accept(self, rows: Rows, start: int, stop: int, predictions: pd.DataFrame) -> pd.DataFrame:
        """Return the predictions, one for each row."""
        if start == stop:
            return predictions
        if not self._checked and stop - start > 1:
            predictions = own_frame(predictions)
            self._check(rows, start, stop)
        self._checked = True  # or this model cannot predict a single row
        self._failures.note_success()
        return predictions

    def _attempt(self, rows: Rows, start: int, stop: int) -> pd.DataFrame | Failure:
        """Call ``predict`` on some rows; if others filled the device, again without them."""
        with self._turns.shared() as turn:
            outcome = self._try(rows, start, stop)
        if isinstance(outcome, Failure) and outcome.out_of_memory and not turn.was_alone:
            with self._turns.alone():
                outcome = self._try(rows, start, stop)
        return outcome

    def _try(self, rows: Rows, start: int, stop: int) -> pd.DataFrame | Failure:
        """Call ``predict`` on some rows.

        The predictions share nothing with the model, which may write the next ones into the same
        memory.
        """
        try:
            predictions = self._call(rows, start, stop)
            return predictions if (start, stop) == (0, len(rows)) else own_frame(predictions)
        except UnusablePredictionError:
            raise
        except BaseException as error:
            if is_device_failure(error) or _is_ctrl_c(error):
                raise
            frames = _frames_of_model(error)
            is_explained = frames is not None and _is_explained(error, frames, self._model)
            failure = self._failures.note(error, frames, is_explained=is_explained)
        # After the handler the traceback is gone, and so are the failed call's tensors.
        if failure.out_of_memory:
            release_memory()
        return failure

    def _call(self, rows: Rows, start: int, stop: int) -> pd.DataFrame:
        part = rows.take(start, stop)
        given = part.frame.columns  # before predict adds any
        with self._precision_checked():
            with time_limit(self._timeout_sec), self._compute.applied():
                returned = self._model.predict(part.frame)
            try:
                predictions = join_predictions(
                    part.beside, len(part), returned, self._reserved_columns
                )
            except EntryCountError as error:
                if error.entries <= error.rows:
                    raise
                raise UnusablePredictionError(f"{error}: return one for each row") from None
            except TakenColumnError as error:
                # The model returns its input columns, and other rows may lack the column.
                if error.column in given:
                    raise
                raise UnusablePredictionError(str(error)) from None
        predictions.index = part.index
        predictions.attrs = {**part.attrs, MODEL_ID: self.model_id}
        return predictions

    @contextmanager
    def _precision_checked(self) -> Iterator[None]:
        """Check once that the precision has an effect on these calls."""
        if not self._checks_precision:
            yield
            return
        with watch_torch() as calls:
            yield
        if not calls:
            raise UnusablePredictionError(
                f"--precision {self._compute.precision!r}: {type(self._model).__name__}.predict "
                "does not call torch in its thread, so the precision, which relies on torch's "
                "autocast, has no effect: omit the parameter"
            )
        self._checks_precision = False

    def _dead_letter(
        self, rows: Rows, position: int, failure: Failure, *, tried_alone: bool = True
    ) -> DeadLetter:
        block = rows.block
        key = ", ".join(str(block.beside[column][position]) for column in self._key_columns)
        error = failure.error
        if block.misfits:
            error = _name_misfits(error, block.misfits[position])
        if not tried_alone:
            NOT_TRIED_ALONE.inc()
            error += " (not tried alone)"
        return DeadLetter.of_row(block, position, key, error)


def _name_misfits(error: str, misfits: Mapping[str, str]) -> str:
    """Return a row's error with the columns of numbers in which the row has texts.

    An error that quotes a text, ``could not convert string to float: 'old'``, is about that text;
    other errors may have other reasons, and stay unchanged.
    """
    quoted = {column: text for column, text in misfits.items() if repr(text) in error}
    problems = "; ".join(
        f"column {column!r}: {text[:_SHOWN_TEXT]!r} is not a number"
        for column, text in list((quoted or misfits).items())[:_SHOWN_MISFITS]
    )
    return f"ValueError: {problems}" if quoted else f"{error} ({problems})"


def _check_sum(rows: int, outcome: Failure, outcomes: Sequence[pd.DataFrame | Failure]) -> None:
    """Check that predict returns as many entries for rows as for their halves together."""
    first, second = (each.entries if isinstance(each, Failure) else len(each) for each in outcomes)
    if outcome.entries is None or first is None or second is None:
        return  # It raised, so the number is unknown.
    if outcome.entries != first + second:
        raise UnusablePredictionError(
            f"predict returned {outcome.entries} entries for {rows} rows, but {first + second} "
            f"({first} and {second}) for the two halves of them: return one entry for each row, "
            "and none for a row that has no prediction"
        )


def _frames_of_model(error: BaseException) -> TracebackType | None:
    """Return the traceback from ``predict`` on; None if it returned."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    if frames is not None and frames.tb_frame.f_code is join_predictions.__code__:
        return None
    return frames


def _is_explained(error: BaseException, frames: TracebackType, model: BaseModel) -> bool:
    """Return whether an error's text says what is wrong with a row, for instance a missing value.

    That is so if the template raised it, and if the model has no code of the user's.
    """
    while frames.tb_next is not None:
        frames = frames.tb_next
    is_own = Path(frames.tb_frame.f_code.co_filename).is_relative_to(_TEMPLATE)
    return isinstance(error, ValueError) and (is_own or isinstance(model, FileModel))


def _is_ctrl_c(error: BaseException) -> bool:
    """Return whether a user's signal raised the exception, not the model.

    A signal reaches only the main thread, and never at a ``raise`` statement.
    """
    if not isinstance(error, KeyboardInterrupt):
        return False
    if threading.current_thread() is not threading.main_thread():
        return False
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return True
    return dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] != "RAISE_VARARGS"
