"""Reads malformed inputs of every source and format: ``make fuzz``.

No input may raise, take more than 10 seconds or more than 1 GiB of memory, or end the process.
``--only`` reads a single input again, in this process.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.fuzz.check import check_input
from tests.fuzz.mutate import make_input
from tests.fuzz.runner import Plan, run

MAX_BYTES = 1 << 30
_FAILED = Path("build/fuzz")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", type=int, help="read this input alone")
    parser.add_argument("--worker", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only is not None:
        format_, data = make_input(options.seed, options.only)
        print(f"{format_}, {len(data)} bytes, begins with {data[:60]!r}")
        with tempfile.TemporaryDirectory() as folder:
            check_input(format_, data, options.only, folder)
    elif options.worker:
        first, step = options.worker
        with tempfile.TemporaryDirectory(prefix="flexpack-fuzz-") as folder:
            work(options.seed, range(first, options.inputs, step), folder)
    else:
        started = time.monotonic()
        outcome = run(Plan(inputs=options.inputs, seconds=options.seconds, seed=options.seed))
        report(outcome, options.seed)
        count = len(outcome.failures)
        seconds = time.monotonic() - started
        print(f"{outcome.read} malformed inputs in {seconds:.0f} s, {count} failures")
        sys.exit(1 if count or not outcome.read else 0)


def work(seed, numbers, folder):
    """Read inputs one after another; say in a line of JSON which begins, and which failed."""
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))  # for the machine's sake
    for number in numbers:
        _say(begin=number)
        format_, data = make_input(seed, number)
        try:
            check_input(format_, data, number, folder)
        except BaseException:
            _say(number=number, problem=traceback.format_exc())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        if peak > MAX_BYTES:
            _say(number=number, problem=f"{peak >> 20} MiB of memory")
            Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here


def report(outcome, seed):
    """Print the failures, and keep their inputs in files."""
    for number, problem in outcome.failures:
        format_, data = make_input(seed, number)
        _FAILED.mkdir(parents=True, exist_ok=True)
        path = _FAILED / f"{seed}-{number}.{format_}"
        path.write_bytes(data)
        print(f"input {number}, {path}: {problem.strip()}")
        print(f"    again: python -m tests.fuzz --seed {seed} --only {number}")


def _say(**line):
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
