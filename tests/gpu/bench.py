"""Measures prediction on a GPU against a raw loop and RunInference per element: make bench-gpu.

Each side runs in its own process, on the same files and the same network. The time counts from the
first forward pass to the last, without the start of the pipeline and CUDA.
``--device cpu --small`` runs the same code on a CPU, where the figures mean nothing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from template.device import describe_versions
from tests.gpu.obstacle import find_gpu_obstacle
from tests.gpu.sides import SIDES, Run
from tests.gpu.workloads import CLOCK, WORKLOADS, find_obstacle, write_input

_ROWS = {"mlp": 1_000_000, "resnet": 12_000, "efficientnet": 6_000}
_SMALL_ROWS = {"mlp": 3_000, "resnet": 6, "efficientnet": 6}
_ELEMENTS = {"mlp": 50_000, "resnet": 3_000, "efficientnet": 3_000}
"""Rows of RunInference per element, which is so slow that fewer do."""
_BATCH = {"mlp": 4096, "resnet": 256, "efficientnet": 256}
_SMALL_BATCH = {"mlp": 256, "resnet": 2, "efficientnet": 2}
_PACKAGES = ("torch", "apache-beam", "numpy", "pandas", "pyarrow", "grpcio", "pillow", "orjson")
_SIDE_SEC = 300


def describe_machine(device: str) -> dict[str, object]:
    """Return the card's name and all versions."""
    import torch

    return {
        "card": torch.cuda.get_device_name(0) if device == "cuda" else None,
        "cards": torch.cuda.device_count() if device == "cuda" else 0,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: _find_version(name) for name in _PACKAGES},
        "driver": describe_versions(),
        "date": time.strftime("%F"),
    }


def _find_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def run_one(side: str, run: Run) -> None:
    """Run a side in this process and print its figures."""
    import torch

    if run.device == "cpu":
        torch.set_num_threads(1)
    SIDES[side](run)
    print(json.dumps(CLOCK.figures()))


def measure(side: str, run: Run, timeout_sec: float) -> dict:
    """Run a side in a process of its own; return its figures, or why there are none."""
    given = json.dumps({name: str(value) for name, value in asdict(run).items()})
    command = [sys.executable, "-m", "tests.gpu.bench", "--run", side, given]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_sec, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {timeout_sec:.0f} s"}
    if done.returncode:
        return {"error": done.stderr.strip()[-2000:] or f"ended with status {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def read_values(output: Path, stem: str) -> dict[str, int]:
    """Return the value of each row that a side wrote."""
    rows: dict[str, int] = {}
    for path in output.glob(f"{stem}*.jsonl"):
        with path.open() as file:
            for row in map(json.loads, file):
                rows[Path(row.get("key", str(len(rows)))).name] = row["value"]
    return rows


def compare(run: Run, deadline: float) -> dict[str, dict]:
    """Return the figures of all sides; a side for which no time is left says so."""
    found: dict[str, dict] = {}
    for side in SIDES:
        left = deadline - time.monotonic()
        if left < 20:
            found[side] = {"error": "no time left"}
            continue
        print(f"  {run.workload} {run.precision} {side}", file=sys.stderr, flush=True)
        found[side] = measure(side, run, min(left, _SIDE_SEC))
    raw, flexpack = (read_values(run.output, side) for side in ("raw", "flexpack"))
    if raw and flexpack:
        alike = sum(flexpack.get(key) == value for key, value in raw.items())
        found["flexpack"]["same_values"] = alike / len(raw)
        found["flexpack"]["rows_written"] = len(flexpack)
    rates = {side: figures.get("rows_per_sec") for side, figures in found.items()}
    if rates["flexpack"] and rates["raw"]:
        found["flexpack"]["of_raw"] = rates["flexpack"] / rates["raw"]
    if rates["flexpack"] and rates["per_element"]:
        found["flexpack"]["of_per_element"] = rates["flexpack"] / rates["per_element"]
    return found


def measure_all(arguments: argparse.Namespace, results: dict, save: Callable[[], None]) -> None:
    """Fill in the figures of all workloads and precisions; ``save`` is called after each."""
    deadline = time.monotonic() + arguments.limit_sec
    counts = _SMALL_ROWS if arguments.small else _ROWS
    results.update({name: {} for name in arguments.workloads})
    with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as temporary:
        folder = Path(temporary)
        for precision in arguments.precisions:
            for name in arguments.workloads:
                if obstacle := find_obstacle(name):
                    results[name] = {"skipped": obstacle}
                    continue
                if not (folder / name).exists():
                    write_input(name, folder / name, counts[name])
                output = folder / f"{name}-{precision}"
                output.mkdir()
                run = Run(
                    workload=name,
                    device=arguments.device,
                    precision=precision,
                    threads=arguments.threads,
                    batch_size=_SMALL_BATCH[name] if arguments.small else _BATCH[name],
                    rows_per_element=min(counts[name], _ELEMENTS[name]),
                    images=folder / name,
                    output=output,
                )
                results[name][precision] = compare(run, deadline)
                save()


def print_table(results: dict) -> None:
    """Print a line for each side."""
    print(f"{'workload':14}{'precision':10}{'side':12}{'rows/s':>12}{'busy':>7}{'of raw':>8}")
    for name, precisions in results.items():
        if "skipped" in precisions:
            print(f"{name:14}skipped: {precisions['skipped']}")
            continue
        for precision, sides in precisions.items():
            for side, run in sides.items():
                if "error" in run:
                    print(f"{name:14}{precision:10}{side:12}{run['error'].splitlines()[-1]}")
                    continue
                busy, share = run["gpu_busy"], run.get("of_raw")
                print(
                    f"{name:14}{precision:10}{side:12}{run['rows_per_sec']:12,.0f}"
                    f"{'-' if busy is None else f'{busy:.0%}':>7}"
                    f"{'' if share is None else f'{share:.2f}':>8}"
                )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="a few rows, to try the code")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--precisions", nargs="+", default=["stored", "bfloat16"])
    parser.add_argument("--threads", type=int, default=min(len(os.sched_getaffinity(0)), 8))
    parser.add_argument("--limit-sec", type=float, default=1800)
    parser.add_argument("--json", type=Path, default=Path("build/bench/gpu.json"))
    parser.add_argument("--run", nargs=2, metavar=("SIDE", "RUN"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run_one(arguments.run[0], Run.parse(json.loads(arguments.run[1])))
        return 0
    obstacle = find_gpu_obstacle() if arguments.device == "cuda" else None
    if obstacle:
        print(f"skipped: {obstacle}; --device cpu --small tries the code on the CPU")
        return 0
    machine = describe_machine(arguments.device)
    given = {name: getattr(arguments, name) for name in ("device", "small", "threads")}
    results: dict[str, dict] = {}
    document = {"machine": machine, "given": given, "results": results}

    def save() -> None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")

    measure_all(arguments, results, save)
    save()
    print(json.dumps(machine, indent=2))
    print_table(results)
    errors = [
        run["error"]
        for precisions in results.values()
        if "skipped" not in precisions
        for sides in precisions.values()
        for run in sides.values()
        if "error" in run
    ]
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if any(error != "no time left" for error in errors) else 0


if __name__ == "__main__":
    sys.exit(main())
