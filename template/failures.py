"""The failures of a model's ``predict`` in this process: logs, counts and finally gives up.

A process judges only by its own rows. While every row fails, the process makes fewer and fewer
calls, because ten million rows must not be tried one by one on a GPU that costs money.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from types import TracebackType

from template.blocks import SPLIT, Block
from template.dead_letters import describe, utf8
from template.device import is_out_of_memory

BLOCKS_ALIKE = 3
"""After this many blocks in a row that failed completely for one reason, no block is halved."""
ROWS_TO_GIVE_UP = 20_000
REPORT_SEC = 60.0
_MOST_REASONS = 1000  # that are remembered

_log = logging.getLogger(__name__)


class NothingPredictedError(RuntimeError):
    """The model predicted none of the many rows of this process."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A call of ``predict`` without a prediction for each of its rows.

    Attributes:
        error: type and message, for dead letters.
        cause: the type of the exception and the line that raised it.
        entries: the number of entries that ``predict`` returned; None if it raised.
        out_of_memory: whether fewer rows might succeed.
    """

    error: str
    cause: str
    entries: int | None = None
    out_of_memory: bool = False


class Failures:
    """The failures of one model in one process; its threads share it.

    Args:
        gives_up: whether the job fails if none of many rows is predicted.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, *, gives_up: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._gives_up = gives_up
        self._clock = clock
        self._lock = threading.Lock()
        self._reasons: Counter[str] = Counter()
        self._errors: dict[str, str] = {}
        """The first error of each cause."""
        self._predicted_any = False
        self._blocks_alike = 0
        self._last_cause: str | None = None
        self._failed_rows = 0
        self._splits: set[Hashable] = set()
        self._only_split = False
        self._unreported_rows = 0
        self._next_report = clock()

    @property
    def are_all_alike(self) -> bool:
        """Whether the last blocks failed completely for one reason, which makes halving useless."""
        return self._blocks_alike >= BLOCKS_ALIKE

    def note(
        self, error: BaseException, frames: TracebackType | None, *, is_explained: bool = False
    ) -> Failure:
        """Return the failure of a call, and log it if it is the first of its kind.

        Args:
            error: the exception.
            frames: the model's own part of its traceback; None if ``predict`` returned.
            is_explained: whether the error's text says what is wrong, so the log omits the
                traceback.
        """
        cause = _find_cause(error, frames)
        text = describe(error)
        with self._lock:
            is_new = cause not in self._errors and len(self._errors) < _MOST_REASONS
            if is_new:
                if not self._errors and frames is not None:  # the line below says it already
                    self._next_report = self._clock() + REPORT_SEC
                self._errors[cause] = text
        if is_new and frames is not None:
            shown = traceback.TracebackException(type(error), error, frames)
            _log.warning(
                "predict raised %s (logged once; dead letters hold the text)%s",
                text,
                "" if is_explained else utf8("\n" + "".join(shown.format()).rstrip()),
            )
        return Failure(
            error=text,
            cause=cause,
            entries=getattr(error, "entries", None) if frames is None else None,
            out_of_memory=is_out_of_memory(error),
        )

    def note_success(self) -> None:
        """Record a predicted row: from now on a failure is again blamed on single rows."""
        if self._blocks_alike or not self._predicted_any:
            with self._lock:
                self._predicted_any = True
                self._blocks_alike = 0

    def note_block(self, block: Block, failures: Iterable[Failure], *, wholly: bool) -> None:
        """Record a block with failed rows, each with its failure.

        Raises:
            NothingPredictedError: it is time to give up.
        """
        causes = Counter(failure.cause for failure in failures)
        with self._lock:
            self._reasons.update(causes)
            if not wholly:
                return
            if not self.are_all_alike:
                cause = next(iter(causes)) if len(causes) == 1 else None
                alike = cause is not None and cause == self._last_cause
                self._blocks_alike = self._blocks_alike + 1 if alike else int(cause is not None)
                self._last_cause = cause
            self._failed_rows += len(block)
            split = block.attrs.get(SPLIT)
            if split is not None:
                self._splits.add(split.id)
                self._only_split = split.is_only
            self._report(len(block))
            self._give_up()

    def _report(self, rows: int) -> None:
        self._unreported_rows += rows
        now = self._clock()
        if now >= self._next_report:
            reason, count = self._most_frequent()
            _log.error(
                "no row of %s was predicted; the most frequent reason (%s so far): %s",
                f"{self._unreported_rows:,}",
                f"{count:,} time{'' if count == 1 else 's'}",
                reason,
            )
            self._unreported_rows = 0
            self._next_report = now + REPORT_SEC

    def _give_up(self) -> None:
        seen_enough = self._failed_rows >= ROWS_TO_GIVE_UP and (
            len(self._splits) > 1 or self._only_split
        )
        if self._gives_up and seen_enough and not self._predicted_any:
            reason, count = self._most_frequent()
            raise NothingPredictedError(
                f"none of {self._failed_rows:,} rows was predicted; the most frequent reason "
                f"({count:,} times): {reason}. The job fails instead of trying all others; pass "
                "--max_dead_letter_share=1 to let it try them"
            )

    def _most_frequent(self) -> tuple[str, int]:
        ((cause, count),) = self._reasons.most_common(1)
        return self._errors.get(cause, cause), count


def _find_cause(error: BaseException, frames: TracebackType | None) -> str:
    name = type(error).__name__
    if frames is None:
        return name
    first = last = frames
    while last.tb_next is not None:
        last = last.tb_next
    # Includes the line of predict, because one line of a library can raise different errors.
    places = (f"{each.tb_frame.f_code.co_filename}:{each.tb_lineno}" for each in (first, last))
    return f"{name} {' '.join(places)}"
