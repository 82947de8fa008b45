"""The console output of a launcher, kept up to a limit."""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, datetime

_MOST_KEPT = 4 << 20
"""Characters kept of the beginning, and as many of the end."""


class Console:
    """A program's output; if it is too long, its beginning and end."""

    def __init__(self, most_kept: int = _MOST_KEPT) -> None:
        self._most_kept = most_kept
        self._head: list[str] = []
        self._head_size = 0
        self._tail: deque[str] = deque()
        self._tail_size = 0
        self._omitted = 0
        self.lines = 0

    def add(self, line: str) -> None:
        """Add a line, with its end."""
        self.lines += 1
        if self._head_size < self._most_kept:
            self._head.append(line)
            self._head_size += len(line)
            return
        self._tail.append(line)
        self._tail_size += len(line)
        while self._tail_size > self._most_kept:
            size = len(self._tail.popleft())
            self._tail_size -= size
            self._omitted += size

    @property
    def text(self) -> str:
        """The kept text, with a line that counts the rest."""
        gap = [f"[{self._omitted:,} characters are not kept]\n"] if self._omitted else []
        return "".join([*self._head, *gap, *self._tail])


def launcher_line(source: str, message: str, *, container_id: str) -> str:
    """Return a line of the launcher's own, as Dataflow's writes it.

    Args:
        source: file and line of the launcher's code.
        message: what it says.
        container_id: the id of its container, in which there is one launcher.
    """
    record = {
        "container_id": container_id,
        "severity": "INFO",
        "time": datetime.now(UTC).strftime("%Y/%m/%d %H:%M:%S.%f"),
        "line": source,
        "message": message,
    }
    return json.dumps(record, separators=(",", ":")) + "\n"
