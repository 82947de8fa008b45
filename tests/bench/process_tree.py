"""CPU seconds and memory of this process's descendants, as Linux reports them.

Processes that detach themselves count too: they become this one's children when their parent ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import threading
import time
from pathlib import Path
from types import TracebackType

_PERIOD_SEC = 0.4
_PATIENCE_SEC = 5.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36


class ProcessTree:
    """Samples the processes that begin below this one until it is closed; ends those that are left.

    Those that were running before, such as a local Dataflow that other tests share, are left alone.
    """

    def __init__(self) -> None:
        if not Path("/proc/self/smaps_rollup").exists():
            raise OSError("CPU and memory of processes are measured on Linux only")
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._others = frozenset(_find_descendants())
        self.peak_mib = 0.0
        self._waited = _waited_sec()
        self._last: dict[tuple[int, str], float] = {}
        self._commands: dict[tuple[int, str], str] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> ProcessTree:
        self._sampler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._sampler.join()
        self.end()
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

    def cpu_sec(self) -> float:
        """Return the CPU seconds of all processes so far, including those that have ended.

        There are two sums, neither of which is too large: the kernel's total, which lacks children
        that were not waited for, and the CPU time that each process had used when it was last seen.
        """
        with self._lock:
            added_up = _waited_sec() - self._waited
            for pid, fields in _find_descendants(self._others).items():
                own, waited = (
                    sum(map(int, fields[first : first + 2])) / _TICKS for first in (11, 13)
                )
                added_up += own + waited
                process = pid, fields[19]  # the time of its start makes it unique
                self._last[process] = own
                self._commands[process] = _command(pid) or self._commands.get(process, "")
            return max(added_up, sum(self._last.values()))

    def cpu_sec_of(self, word: str) -> list[float]:
        """Return the CPU seconds of each process so far that has a word in its command line."""
        self.cpu_sec()
        with self._lock:
            return [self._last[each] for each, text in self._commands.items() if word in text]

    def end(self) -> None:
        """Kill the processes that are left, and wait for them."""
        deadline = time.monotonic() + _PATIENCE_SEC
        quiet = 0
        while quiet < 2 and time.monotonic() < deadline:  # a new one may have started since
            left = _find_descendants(self._others)
            quiet = 0 if left else quiet + 1
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):  # a grandchild, or waited for
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)

    def _sample(self) -> None:
        while not self._stop.wait(_PERIOD_SEC):
            self.cpu_sec()
            self.peak_mib = max(
                self.peak_mib, sum(map(_memory_mib, _find_descendants(self._others)))
            )


def _waited_sec() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _find_descendants(besides: frozenset[int] = frozenset()) -> dict[int, list[str]]:
    """Return the fields after the name in /proc/PID/stat, of every process below this one.

    Args:
        besides: processes to exclude, with those below them.
    """
    stats: dict[int, list[str]] = {}
    for process in os.listdir("/proc"):
        if process.isdecimal() and int(process) not in besides:
            with contextlib.suppress(OSError):
                text = Path("/proc", process, "stat").read_text()
                stats[int(process)] = text.rpartition(")")[2].split()
    found = {os.getpid()}
    while more := {pid for pid, fields in stats.items() if int(fields[1]) in found} - found:
        found |= more
    return {pid: stats[pid] for pid in found if pid in stats and pid != os.getpid()}


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def _memory_mib(pid: int) -> float:
    """Return a process's resident memory; shared pages count in equal shares."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
