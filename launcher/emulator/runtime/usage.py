"""CPU and memory of a job's processes, read from /proc; None on systems other than Linux."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from launcher.emulator.runtime.events import UsageEvent

_PROC = Path("/proc")
_MEMORY_PERIOD_SEC = 10.0
_PARENT, _USER_TICKS, _SYSTEM_TICKS, _RESIDENT_PAGES = 1, 11, 12, 21  # after a process's name
_Stats = dict[int, tuple[int, int, int]]  # by process: parent, ticks, resident pages


class UsageMeter:
    """Measures one job; not thread-safe."""

    def __init__(self) -> None:
        self._ticks: dict[int, int] = {}
        self._time = time.monotonic()
        self._memory, self._memory_time = 0, 0.0
        self._pids: set[int] = set()

    def read(self, roots: Iterable[int]) -> UsageEvent | None:
        """Return what these processes and their children used since the last call, or None.

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
        return UsageEvent(
            cores=round(used / os.sysconf("SC_CLK_TCK") / elapsed, 3),
            memory_bytes=self._read_memory({pid: stats[pid][2] for pid in found}, now),
        )

    def _read_memory(self, resident_pages: dict[int, int], now: float) -> int:
        """Return the bytes of processes; slow reads are repeated only after a while."""
        if now - self._memory_time > _MEMORY_PERIOD_SEC or resident_pages.keys() != self._pids:
            self._memory_time, self._pids = now, set(resident_pages)
            self._memory = sum(_read_memory(*each) for each in resident_pages.items())
        return self._memory


def _read_memory(pid: int, resident_pages: int) -> int:
    """Return the bytes of a process; shared pages of forks are split among them."""
    with contextlib.suppress(OSError, StopIteration):  # It has ended, or is another user's.
        with (_PROC / str(pid) / "smaps_rollup").open() as lines:
            share = next(line for line in lines if line.startswith("Pss:"))
        return int(share.split()[1]) * 1024
    return resident_pages * os.sysconf("SC_PAGE_SIZE")


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
