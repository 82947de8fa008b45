"""Workers that read malformed inputs, and one process that watches them.

A worker reports each input before it reads it, so the input that ended or blocked the worker is
known; the next worker continues after it.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

_STARTUP_SECONDS = 180
_TICK_SECONDS = 0.5
_WORKERS = min(2, os.cpu_count() or 1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Something to fuzz, which reads ``inputs`` inputs, each within ``max_seconds``.

    No input is begun after ``seconds``, but at least one is read.
    """

    inputs: int
    seconds: float = float("inf")
    seed: str = "1"
    max_seconds: float = 30
    command: tuple[str, ...] = (sys.executable, "-m", "tests.fuzz")


@dataclass(kw_only=True)
class Outcome:
    """How many inputs were begun and finished, and what was wrong with each that failed."""

    read: int = 0
    ended: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)


def run(plan):
    """Start workers and watch them until their inputs are read or time is up."""
    outcome = Outcome()
    deadline = time.monotonic() + plan.seconds
    threads = [
        threading.Thread(target=_watch, args=(plan, index, deadline, outcome))
        for index in range(_WORKERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome.failures.sort()
    return outcome


def _watch(plan, first, deadline, outcome):
    """Read every ``_WORKERS``th input; replace each worker that an input ends."""
    while first is not None and first < plan.inputs and _goes_on(deadline, outcome):
        first = _watch_worker(plan, first, deadline, outcome)


def _goes_on(deadline, outcome):
    return time.monotonic() < deadline or not outcome.ended


def _watch_worker(plan, first, deadline, outcome):
    """Watch one worker; return the input that the next begins with, or None."""
    command = [*plan.command, "--seed", plan.seed, "--inputs", str(plan.inputs)]
    command += ["--worker", str(first), str(_WORKERS)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    lines = queue.Queue()
    reader = threading.Thread(target=lambda: [*map(lines.put, worker.stdout), lines.put(None)])
    reader.start()
    current, patience, begun = first, _STARTUP_SECONDS, False
    try:
        heard = time.monotonic()
        while _goes_on(deadline, outcome):
            try:
                line = lines.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                if time.monotonic() - heard > patience:
                    outcome.ended += 1
                    outcome.failures.append((current, f"no end in {patience} seconds"))
                    return current + _WORKERS
                continue
            heard = time.monotonic()
            if line is None:
                outcome.ended += 1
                if worker.wait() == 0:
                    return None
                outcome.failures.append((current, f"the process ended with {worker.returncode}"))
                return current + _WORKERS
            found = json.loads(line)
            if "begin" in found:
                outcome.ended += begun
                current, patience, begun = found["begin"], plan.max_seconds, True
                outcome.read += 1
            else:
                outcome.failures.append((found["number"], found["problem"]))
        return None
    finally:
        worker.kill()
        worker.wait()
        reader.join()
