"""Rows that could not be predicted, and the job's counters.

A dead letter stands for one row or message, or for one file (or the rest of one) that cannot be
read: that counts as one row read and one dead letter, because its number of rows is unknown. So
``rows_read = predictions + dead_letters`` holds for every job.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any

import pandas as pd
from apache_beam.metrics import Metrics

from template.blocks import Block, row_source
from template.messages import Message, find_message

ROWS_READ = Metrics.counter("flexpack", "rows_read")
PREDICTIONS = Metrics.counter("flexpack", "predictions")
DEAD_LETTERS = Metrics.counter("flexpack", "dead_letters")
UNREAD_FILES = Metrics.counter("flexpack", "unread_files")
NOT_TRIED_ALONE = Metrics.counter("flexpack", "not_tried_alone")
"""The dead letters of rows that only failed together with others: see ``failures``."""

ROWS_FOUND = Metrics.counter("flexpack", "rows_found")
"""Rows of the input that were counted before they were read: the total of ``rows_read``."""
UNCOUNTED_FILES = Metrics.counter("flexpack", "uncounted_files")
"""Files whose rows are not included, because their number is known only after reading."""
_REASONS = "flexpack.dead_letters"
"""Namespace of a counter for each reason of dead letters, by the error's type."""
_REASON = re.compile(r"\w{1,60}(?=:)")

_LONGEST_ERROR = 10_000  # characters


def count_dead_letter(error: str) -> None:
    """Count a dead letter, in total and by its reason."""
    DEAD_LETTERS.inc()
    reason = _REASON.match(error)
    Metrics.counter(_REASONS, reason[0] if reason else "other").inc()


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A row without a prediction.

    ``key`` is None if there is no key or the dead letter stands for a file; ``error`` is type and
    message; ``source`` names the file and, if there is one, the row (from 0), or the message's id.
    ``message`` is the message that contained the row, if any. ``is_unread_file`` marks a file of
    tables or images of which nothing could be read.
    """

    key: str | None
    error: str
    source: str
    message: Message | None = None
    is_unread_file: bool = False

    @classmethod
    def of_row(cls, rows: Block | pd.DataFrame, position: int, key: str, error: str) -> DeadLetter:
        """Return the dead letter of a row of a block, or of predictions."""
        message = find_message(rows, position)
        source = message.source if message else row_source(rows, position, key)
        return cls(key=key, error=error, source=source, message=message)

    def to_json(self) -> dict[str, Any]:
        """Return the record to write, with a message's payload in base64."""
        record = {
            "key": None if self.key is None else utf8(self.key),
            "error": utf8(self.error),
            "source": utf8(self.source),
        }
        if self.message is not None:
            record["payload"] = base64.b64encode(self.message.payload).decode()
        return record


def describe(error: BaseException) -> str:
    """Return type and message of an exception, as a dead letter's ``error``."""
    name = type(error).__name__
    try:
        message = str(error)
    except Exception as second:  # a class from elsewhere may raise anything
        message = f"(its message cannot be read: {type(second).__name__})"
    if len(message) > _LONGEST_ERROR:  # Pub/Sub refuses messages that are too large
        message = f"{message[:_LONGEST_ERROR]}... ({len(message):,} characters)"
    message = utf8(message)
    return f"{name}: {message}" if message else name


def utf8(text: str) -> str:
    """Return text that can be written and logged, because UTF-8 cannot encode lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
