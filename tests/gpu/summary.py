"""Joins what ``on-bare-machine.sh`` tested and measured into one JSON file.

``python -m tests.gpu.summary FOLDER RESULT SECONDS`` exits with 1 if a test failed, or if there are
no tests or no figures.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.gpu.bench import describe_machine
from tests.gpu.obstacle import find_gpu_obstacle


def read_tests(path: Path) -> dict[str, list[str]]:
    """Return the names of the tests by outcome; failures and skips with their reason."""
    found: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    if not path.exists():
        return found
    for case in ET.parse(path).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        outcome = next((each for each in case if each.tag in ("failure", "error", "skipped")), None)
        if outcome is None:
            found["passed"].append(name)
        else:
            kind = "skipped" if outcome.tag == "skipped" else "failed"
            found[kind].append(f"{name}: {outcome.get('message')}")
    return found


def main() -> int:
    folder, result, seconds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    tests = read_tests(folder / "tests.xml")
    measured = folder / "bench.json"
    benchmark = json.loads(measured.read_text()) if measured.exists() else None
    document = {
        "machine": describe_machine("cpu" if find_gpu_obstacle() else "cuda"),
        "seconds": seconds,
        "tests": tests,
        "benchmark": benchmark and {key: benchmark[key] for key in ("given", "results")},
    }
    result.write_text(json.dumps(document, indent=2) + "\n")
    counts = ", ".join(f"{len(names)} {outcome}" for outcome, names in tests.items())
    print(f"{counts}; {seconds} s; written to {result}")
    return 0 if tests["passed"] and not tests["failed"] and benchmark else 1


if __name__ == "__main__":
    sys.exit(main())
