"""What could not be predicted, and the job's counters.

A dead letter stands for one row or message, or for one file (or the rest of one) that cannot be
read: that counts as one row read and one dead letter, because nobody knows how many rows it held.
So ``rows_read = predictions + dead_letters`` holds for every job.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import pandas as pd
from apache_beam.metrics import Metrics

from template.blocks import Block, row_source
from template.messages import Message, find_messages

ROWS_READ = Metrics.counter("flexpack", "rows_read")
PREDICTIONS = Metrics.counter("flexpack", "predictions")
DEAD_LETTERS = Metrics.counter("flexpack", "dead_letters")


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A row without a prediction.

    ``key`` is None where the row has no key or stands for a file; ``error`` is type and message;
    ``source`` names the file and, where there is one, the row (from 0), or the message's id.
    ``message`` is the message, where it is one.
    """

    key: str | None
    error: str
    source: str
    message: Message | None = None

    @classmethod
    def of_row(cls, row: Block | pd.DataFrame, key: str, error: str) -> DeadLetter:
        """Return the dead letter of a block, or of predictions, of one row."""
        messages = find_messages(row)
        message = messages[0] if messages else None
        source = message.source if message else row_source(row, 0, key)
        return cls(key=key, error=error, source=source, message=message)

    def to_json(self) -> dict[str, Any]:
        """Return the record that is written; a message's payload is base64 in it."""
        record = {"key": self.key, "error": self.error, "source": self.source}
        if self.message is not None:
            record["payload"] = base64.b64encode(self.message.payload).decode()
        return record


def describe(error: BaseException) -> str:
    """Return type and message of an exception, as a dead letter's ``error``."""
    # What is no text in UTF-8, a lone surrogate, could not be written.
    message = str(error).encode("utf-8", "backslashreplace").decode("utf-8")
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
