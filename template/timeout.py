"""``predict_timeout_sec``: ends a call of a model that hangs.

A thread cannot stop another one that hangs in ``load_model`` or ``predict``. So the process ends,
with the stacks of all its threads on stderr: its work is done again elsewhere, or its job fails.
"""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
_SHORTEST_SEC = 0.01  # faulthandler takes no 0


class _ProcessTimer:
    """Ends the process at the earliest of several deadlines: faulthandler has only one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadlines: dict[object, float] = {}
        self._earliest: float | None = None
        """The timer that faulthandler offers."""

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        call = object()
        with self._lock:
            self._deadlines[call] = time.monotonic() + seconds
            self._set()
        try:
            yield
        finally:
            with self._lock:
                del self._deadlines[call]
                self._set()

    def _set(self) -> None:
        earliest = min(self._deadlines.values(), default=None)
        if earliest == self._earliest:  # short calls of other threads must not delay it
            return
        self._earliest = earliest
        if earliest is None:
            faulthandler.cancel_dump_traceback_later()
        else:
            left = max(_SHORTEST_SEC, round(earliest - time.monotonic(), 2))
            faulthandler.dump_traceback_later(left, exit=True, file=_STDERR)


_TIMER = _ProcessTimer()  # one for the process and all its threads, as faulthandler's is


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """End the process if the body of the ``with`` statement takes longer; None means no limit."""
    if seconds is None:
        yield
        return
    with _TIMER.limit(seconds):
        yield
