"""Workers that read malformed inputs, and one process that watches them.

A worker says which input it begins, so that the one that ended or stopped it is known; the next
worker goes on behind it.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

_STARTUP_SECONDS = 60
_WORKERS = min(2, os.cpu_count() or 1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is read: ``inputs`` of them, for ``seconds`` at most, each in ``max_seconds``."""

    inputs: int
    seconds: float = float("inf")
    seed: str = "1"
    max_seconds: float = 10
    command: tuple[str, ...] = (sys.executable, "-m", "tests.fuzz")


@dataclass(kw_only=True)
class Outcome:
    """How many inputs were read, and what was wrong with which."""

    read: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)


def run(plan):
    """Start workers, watch them until their inputs are read or time is up."""
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
    """Read every ``_WORKERS``th input, with another worker behind each that ends one."""
    while first is not None and first < plan.inputs and time.monotonic() < deadline:
        first = _watch_worker(plan, first, deadline, outcome)


def _watch_worker(plan, first, deadline, outcome):
    """Watch one worker; return the input that the next begins with, or None."""
    command = [*plan.command, "--seed", plan.seed, "--inputs", str(plan.inputs)]
    command += ["--worker", str(first), str(_WORKERS)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    lines = queue.Queue()
    reader = threading.Thread(target=lambda: [*map(lines.put, worker.stdout), lines.put(None)])
    reader.start()
    current, patience = first, _STARTUP_SECONDS
    try:
        while time.monotonic() < deadline:
            try:
                line = lines.get(timeout=max(0, min(patience, deadline - time.monotonic())))
            except queue.Empty:
                if time.monotonic() < deadline:
                    outcome.failures.append((current, f"no end in {patience} seconds"))
                    return current + _WORKERS
                return None
            if line is None:
                if worker.wait() == 0:
                    return None
                outcome.failures.append((current, f"the process ended with {worker.returncode}"))
                return current + _WORKERS
            found = json.loads(line)
            if "begin" in found:
                current, patience = found["begin"], plan.max_seconds
                outcome.read += 1
            else:
                outcome.failures.append((found["number"], found["problem"]))
        return None
    finally:
        worker.kill()
        worker.wait()
        reader.join()
