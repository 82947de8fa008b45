"""Runs the GPU tests and benchmark within a time limit, and writes both results into one JSON file.

``python -m tests.gpu.everything RESULT`` takes six minutes at most. The file is written again after
each test and each figure, so what was found stays if a later step fails, hangs or is killed. Exits
with 1 if a test failed, if none passed, or if a side of the benchmark failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.gpu.bench import (
    describe_machine,
    find_errors,
    make_parser,
    measure_all,
    print_table,
    report,
    write_json,
)
from tests.gpu.obstacle import find_gpu_obstacle

_ROOT = Path(__file__).parents[2]
_LIMIT_SEC = 340
_TESTS_SHARE = 0.4


def run_tests(
    device: str, limit_sec: float, outcomes: Path, seen: Callable[[], None]
) -> str | None:
    """Run the tests; ``outcomes`` gets a line for each. Return why they had to be stopped.

    ``seen`` is called while they run, about twice a second.
    """
    variables = {"FLEXPACK_GPU_TESTS_ON": device, "FLEXPACK_GPU_OUTCOMES": str(outcomes)}
    # The machine's plugins, and the kit's settings, which name its own plugins, do not matter here.
    variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-m", "pytest", "tests/gpu", "-v", "-p", "no:cacheprovider"]
    command += ["--confcutdir=tests/gpu", "-c", os.devnull, f"--rootdir={_ROOT}"]
    command += ["--import-mode=importlib", "--disable-warnings", "--durations=5"]
    deadline = time.monotonic() + limit_sec
    with subprocess.Popen(command, cwd=_ROOT, env=os.environ | variables) as process:
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.5)
            seen()
        if process.poll() is None:
            process.kill()
            return f"stopped after {limit_sec:.0f} s"
    return None if process.returncode in (0, 1) else f"pytest ended with {process.returncode}"


def read_tests(path: Path) -> dict[str, list[str]]:
    """Return the names of the tests by outcome; failures and skips with their reason."""
    found: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    if path.exists():
        for record in map(json.loads, path.read_text().splitlines()):
            reason = f": {record['reason']}" if record["reason"] else ""
            found[record["outcome"]].append(record["name"] + reason)
    return found


def parse_arguments() -> argparse.Namespace:
    """Return the given options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a trial")
    parser.add_argument(
        "--until", type=float, default=time.time() + _LIMIT_SEC, help="Unix time of the end"
    )
    return parser.parse_args()


def main() -> int:
    began = time.monotonic()
    arguments = parse_arguments()
    obstacle = find_gpu_obstacle() if arguments.device == "cuda" else None
    if obstacle:
        print(f"{obstacle}; --device cpu tries the code on the CPU", file=sys.stderr)
        return 1
    options = [f"--device={arguments.device}"]
    if arguments.device == "cpu":
        options.append("--small")
    benchmark = make_parser().parse_args(options)
    results: dict[str, dict] = {}
    document: dict = {
        "machine": describe_machine(arguments.device),
        "given": {name: getattr(benchmark, name) for name in ("device", "small", "threads")},
        "tests": read_tests(Path(os.devnull)),
        "results": results,
    }
    print(json.dumps(document["machine"], indent=2), flush=True)

    def save() -> None:
        document["seconds"] = round(time.monotonic() - began, 1)
        write_json(arguments.result, document)

    with tempfile.TemporaryDirectory(prefix="flexpack-gpu-") as folder:
        outcomes = Path(folder, "outcomes.jsonl")

        def save_tests() -> None:
            tests = read_tests(outcomes)
            if tests != document["tests"]:
                document["tests"] = tests
                save()

        save()
        stopped = run_tests(
            arguments.device, (arguments.until - time.time()) * _TESTS_SHARE, outcomes, save_tests
        )
        save_tests()
    tests = document["tests"]
    if stopped:
        document["tests_stopped"] = stopped
        report(f"tests: {stopped}")
    benchmark.limit_sec = arguments.until - time.time()
    measure_all(benchmark, results, save)
    print_table(results)
    errors = find_errors(results)
    print(*errors, sep="\n", file=sys.stderr)
    counts = ", ".join(f"{len(names)} {outcome}" for outcome, names in tests.items())
    print(f"{counts}; {document['seconds']:.0f} s; written to {arguments.result}")
    return 1 if stopped or errors or tests["failed"] or not tests["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
