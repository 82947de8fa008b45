"""Runs interleaved rounds of several sides, and keeps them in a JSON file from the first round on.

Other load on the machine affects all sides of a round, so ratios are taken round by round.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Round = dict[str, Any]
"""What each side gave in one round."""


def run_rounds(
    path: Path,
    given: Mapping[str, object],
    cases: Mapping[str, Callable[[], Round]],
    *,
    rounds: int,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Run every case in turn, ``rounds`` times, and return what the file holds.

    Ctrl-C, or the signal from ``timeout``, ends it; complete cases are kept. No case begins after
    ``seconds``.
    """
    results: dict[str, Any] = {
        "date": time.strftime("%F"),
        "machine": describe_machine(),
        "given": dict(given),
        "rounds": {case: [] for case in cases},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for number in range(rounds):
            for case, run in cases.items():
                if seconds is not None and time.monotonic() - began > seconds:
                    print(f"  {seconds:.0f} s are over", file=sys.stderr)
                    return results
                load = os.getloadavg()[0]
                found = run()
                results["rounds"][case].append({"load": round(load, 1), "sides": found})
                path.write_text(json.dumps(results, indent=1) + "\n")
                print(f"  round {number + 1}/{rounds}: {case}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("  interrupted", file=sys.stderr)
    finally:
        signal.signal(signal.SIGTERM, previous)
    return results


def describe_machine() -> str:
    """Return the processor, the number of cores and the memory."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        named = (line.partition(":")[2] for line in lines if line.startswith("model name"))
        processor = next(named, processor).strip()
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return f"{processor}, {os.cpu_count()} cores, {gib:.0f} GiB"
