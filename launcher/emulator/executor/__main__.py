"""Entry of the executor process: ``python -m launcher.emulator.executor``.

Started when a job is launched, ahead of its execution, so that Beam is imported here and in the
workers while the launcher still runs. Exits when the job has ended. When its standard input closes,
the emulator is dead, and the executor ends with its workers.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import NoReturn

from launcher.emulator.executor.worker_processes import ForkedProcess, WorkerProcesses
from launcher.emulator.runtime.events import EventWriter
from launcher.emulator.runtime.execution import Execution, Preparation


def run(line: bytes, forked: Sequence[tuple[int, int, int]] = ()) -> NoReturn:
    """Run a job, and end this process.

    Args:
        line: the first line of the input.
        forked: workers that are waiting for their variables: their process ids, and the ends of
            the pipes that are their standard input and output.
    """
    try:
        _run(line, forked)
        status = 0
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stderr.flush()
    # Not sys.exit, which would wait for idle threads of Beam and gRPC.
    os._exit(status)


def _run(line: bytes, forked: Sequence[tuple[int, int, int]]) -> None:
    # Prints in this process must not mix with the events.
    events = EventWriter(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    logging.basicConfig(level=logging.WARNING)
    if not line:
        return
    preparation = Preparation.from_line(line)
    processes = WorkerProcesses(preparation.run_dir, umask=preparation.umask, report=events.report)

    # Imported here because it imports Beam, which takes seconds and may print.
    from launcher.emulator.executor.job import execute

    if preparation.worker:
        for each in forked:
            processes.adopt(preparation.worker, ForkedProcess(*each))
        # Not earlier: two cores are enough for two imports at a time, and the launcher runs one of
        # them.
        for _ in range(preparation.num_workers - len(forked)):
            processes.prestart(preparation.worker)
    line = sys.stdin.buffer.readline()
    if line:
        drain = threading.Event()
        threading.Thread(target=_wait_for_drain, args=(drain,), daemon=True).start()
        execute(Execution.from_line(line), processes, events.report, drain)


def _wait_for_drain(drain: threading.Event) -> None:
    while sys.stdin.buffer.readline():  # No other line is possible.
        drain.set()
    # Closed: the emulator is dead. The leash, which would end this group, may be dead too.
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    run(sys.stdin.buffer.readline())
