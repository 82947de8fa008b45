"""Feeds malformed inputs to the code that reads them: ``make fuzz``.

``--of sources`` reads files and messages as the pipelines do, ``apis`` sends requests to the local
Dataflow and its Cloud Storage, ``commands`` gives specs, metadata, entry files and arguments to
``flexpack``, ``projects`` has ``flexpack check`` read Dockerfiles, locks, metadata, entry files and
specs. No input may raise, get a 500, take more than 30 seconds or end the process. ``--only``
repeats a single input, in this process.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
import traceback
from contextlib import closing
from pathlib import Path

from tests.fuzz.apis import Apis
from tests.fuzz.commands import Commands
from tests.fuzz.mutate import make_input
from tests.fuzz.projects import Projects
from tests.fuzz.runner import Plan, run
from tests.fuzz.sources import Sources

SUBJECTS = {
    "sources": (Sources, 50_000),
    "apis": (Apis, 30_000),
    "commands": (Commands, 10_000),
    "projects": (Projects, 10_000),
}
"""What is fuzzed, and with how many inputs."""
_FAILED = Path("build/fuzz")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", choices=SUBJECTS, help="default: all, one after the other")
    parser.add_argument("--inputs", type=int, help="of each subject")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", type=int, help="give this input alone")
    parser.add_argument("--worker", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    subjects = [options.of] if options.of else list(SUBJECTS)
    if options.only is not None:
        work(subjects[0], options.seed, [options.only], raises=True)
    elif options.worker:
        first, step = options.worker
        resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))  # for the machine's sake
        work(subjects[0], options.seed, range(first, options.inputs, step))
    else:
        seconds = options.seconds / len(subjects)
        passed = [fuzz(name, options.inputs, seconds, options.seed) for name in subjects]
        sys.exit(0 if all(passed) else 1)


def fuzz(name, inputs, seconds, seed):
    """Feed one subject its inputs; print the outcome, and return whether nothing failed."""
    started = time.monotonic()
    inputs = inputs or SUBJECTS[name][1]
    command = (sys.executable, "-m", "tests.fuzz", "--of", name)
    outcome = run(Plan(inputs=inputs, seconds=seconds, seed=seed, command=command))
    report(name, outcome, seed)
    count = len(outcome.failures)
    took = time.monotonic() - started
    print(f"{name}: {outcome.read} malformed inputs in {took:.0f} s, {count} failures", flush=True)
    return outcome.read and not count


def work(name, seed, numbers, *, raises=False):
    """Feed inputs one after another; print a line of JSON when one begins or fails."""
    with (
        tempfile.TemporaryDirectory(prefix="flexpack-fuzz-") as folder,
        closing(SUBJECTS[name][0](folder)) as subject,
    ):
        for number in numbers:
            _say(begin=number)
            try:
                subject.check(seed, number)
            except BaseException:
                if raises:
                    raise
                _say(number=number, problem=traceback.format_exc())


def report(name, outcome, seed):
    """Print the failures, and keep the inputs of sources in files."""
    for number, problem in outcome.failures:
        path = ""
        if name == "sources":
            format_, data = make_input(seed, number)
            _FAILED.mkdir(parents=True, exist_ok=True)
            path = _FAILED / f"{seed}-{number}.{format_}"
            path.write_bytes(data)
        print(f"{name}, input {number} {path}: {problem.strip()}")
        print(f"    again: python -m tests.fuzz --of {name} --seed {seed} --only {number}")


def _say(**line):
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
