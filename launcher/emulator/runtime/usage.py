"""CPU and memory of a job's processes, read from /proc; nothing on other systems than Linux."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from launcher.emulator.runtime.events import UsageEvent

_PROC = Path("/proc")
_PARENT, _USER_TICKS, _SYSTEM_TICKS, _RESIDENT_PAGES = 1, 11, 12, 21  # after a process's name
_Stats = dict[int, tuple[int, int, int]]  # by process: parent, ticks, resident pages


class UsageMeter:
    """Measures one job; not for several threads."""

    def __init__(self) -> None:
        self._ticks: dict[int, int] = {}
        self._time = time.monotonic()

    def read(self, roots: Iterable[int]) -> UsageEvent | None:
        """Return what these processes and all below them use since the last call, or None.

        Blocks for some milliseconds.
        """
        stats = _read_stats()
        found = {pid for pid in roots if pid in stats}
        while more := {pid for pid, (parent, *_) in stats.items() if parent in found} - found:
            found |= more
        now = time.monotonic()
        elapsed, self._time = now - self._time, now
        ticks = {pid: stats[pid][1] for pid in found}
        used = sum(count - self._ticks.get(pid, 0) for pid, count in ticks.items())
        self._ticks = ticks
        if not found or elapsed <= 0:
            return None
        pages = sum(stats[pid][2] for pid in found)
        return UsageEvent(
            cores=round(used / os.sysconf("SC_CLK_TCK") / elapsed, 3),
            memory_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
        )


def _read_stats() -> _Stats:
    stats: _Stats = {}
    for process in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            # The name, in parentheses, may hold anything.
            fields = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
            stats[int(process.name)] = (
                int(fields[_PARENT]),
                int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS]),
                int(fields[_RESIDENT_PAGES]),
            )
    return stats
