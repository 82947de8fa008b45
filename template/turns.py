"""Turns on a device: calls run side by side; after running out of memory, one runs alone.

Threads that share a GPU share its memory. A thread that finds it full gets an error at once, while
the others still compute: halving would reach single rows, and give up on them, before memory is
free.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache


@dataclass
class Turn:
    """A use of the device; ``was_alone`` is set when it ends."""

    was_alone: bool = False


class Turns:
    """The turns of this process's threads on one device. A thread has only one turn at a time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._begun = 0
        self._waiting_alone = 0

    @contextmanager
    def shared(self) -> Iterator[Turn]:
        """Use the device with others; blocks while another thread uses it alone or waits to."""
        turn = Turn()
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_alone)
            was_free = not self._running
            number = self._begin()
        try:
            yield turn
        finally:
            with self._changed:
                turn.was_alone = was_free and self._begun == number
                self._end()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Use the device while no other thread does; blocks until the others have finished."""
        with self._changed:
            self._waiting_alone += 1
            self._changed.wait_for(lambda: not self._running)
            self._begin()
        try:
            yield
        finally:
            with self._changed:
                self._waiting_alone -= 1
                self._end()

    def _begin(self) -> int:
        self._running += 1
        self._begun += 1
        return self._begun

    def _end(self) -> None:
        self._running -= 1
        self._changed.notify_all()


@cache
def turns_on(device: str) -> Turns:
    """Return the turns on a device: all models of the process that are on it share its memory."""
    return Turns()
