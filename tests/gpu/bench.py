"""Measures prediction on a GPU against a raw loop and RunInference per element: make bench-gpu.

Each side runs in its own process, on the same files and the same network. The time counts from the
first forward pass to the last, without the start of the pipeline and CUDA.
``--device cpu --small`` runs the same code on a CPU, where the figures mean nothing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from template.device import describe_versions
from tests.gpu.obstacle import find_gpu_obstacle
from tests.gpu.sides import Run, run_side
from tests.gpu.workloads import WORKLOADS, find_obstacle, write_input

_ROWS = {"mlp": 400_000, "resnet": 12_000, "efficientnet": 6_000}
_SMALL_ROWS = {"mlp": 3_000, "resnet": 6, "efficientnet": 6}
_ELEMENTS = {"mlp": 50_000, "resnet": 3_000, "efficientnet": 3_000}
"""Rows of RunInference per element, which is so slow that fewer do."""
_BATCH = {"mlp": 4096, "resnet": 256, "efficientnet": 256}
_SMALL_BATCH = {"mlp": 256, "resnet": 2, "efficientnet": 2}
_PACKAGES = ("torch", "apache-beam", "numpy", "pandas", "pyarrow", "grpcio", "pillow", "orjson")
_SIDE_SEC = 300
_LEAST_SEC = 10
NO_TIME = "no time left"


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


def measure(side: str, run: Run, timeout_sec: float) -> dict:
    """Run a side in a separate process; return its figures, or why there are none."""
    processes = multiprocessing.get_context("forkserver")
    # Imported once for all sides: importing torch and Beam takes longer than most of them run.
    processes.set_forkserver_preload(["tests.gpu.sides"])
    result = run.output / f"{side}.json"
    process = processes.Process(target=run_side, args=(side, run, result))
    process.start()
    process.join(timeout_sec)
    if process.is_alive():
        process.kill()
        process.join()
        return {"error": f"took longer than {timeout_sec:.0f} s"}
    if not result.exists():
        return {"error": f"ended with status {process.exitcode}"}
    return json.loads(result.read_text())


def read_values(output: Path, stem: str) -> dict[str, int]:
    """Return the value of each row that a side wrote."""
    rows: dict[str, int] = {}
    for path in output.glob(f"{stem}*.jsonl"):
        with path.open() as file:
            for row in map(json.loads, file):
                rows[Path(row.get("key", str(len(rows)))).name] = row["value"]
    return rows


def compare(sides: dict[str, dict], output: Path) -> None:
    """Add to flexpack's figures a comparison of them and its predictions with the other sides."""
    flexpack = sides.get("flexpack", {})
    if not flexpack.get("rows_per_sec"):
        return
    raw, predicted = (read_values(output, side) for side in ("raw", "flexpack"))
    if raw and predicted:
        alike = sum(predicted.get(key) == value for key, value in raw.items())
        flexpack["same_values"] = alike / len(raw)
        flexpack["rows_written"] = len(predicted)
    for side in ("raw", "per_element"):
        if rate := sides.get(side, {}).get("rows_per_sec"):
            flexpack[f"of_{side}"] = flexpack["rows_per_sec"] / rate


def find_cases(arguments: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Return precision, workload and side of each run, the most informative ones first."""
    return [
        (precision, name, side)
        for group in (("raw", "flexpack"), ("per_element",))
        for precision in arguments.precisions
        for name in arguments.workloads
        for side in group
    ]


def measure_all(arguments: argparse.Namespace, results: dict, save: Callable[[], None]) -> None:
    """Fill in the figures of all workloads and precisions; ``save`` is called after each side."""
    deadline = time.monotonic() + arguments.limit_sec
    side_sec = min(_SIDE_SEC, arguments.limit_sec / 4)
    counts = _SMALL_ROWS if arguments.small else _ROWS
    for name in arguments.workloads:
        obstacle = find_obstacle(name)
        results[name] = {"skipped": obstacle} if obstacle else {}
    with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as temporary:
        folder = Path(temporary)
        for precision, name, side in find_cases(arguments):
            if "skipped" in results[name]:
                continue
            sides = results[name].setdefault(precision, {})
            left = deadline - time.monotonic()
            if left < _LEAST_SEC:
                sides[side] = {"error": NO_TIME}
                continue
            if not (folder / name).exists():
                report(f"{name}: writing {counts[name]:,} rows")
                write_input(name, folder / name, counts[name])
            output = folder / f"{name}-{precision}"
            output.mkdir(exist_ok=True)
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
            began = time.monotonic()
            sides[side] = measure(side, run, min(left, side_sec))
            report(f"{name} {precision} {side}: {describe(sides[side], time.monotonic() - began)}")
            compare(sides, output)
            save()
        save()


def describe(figures: dict, elapsed_sec: float) -> str:
    """Return the figures of a side in a few words."""
    if "error" in figures:
        return figures["error"].splitlines()[-1]
    busy = figures["gpu_busy"]
    text = f"{figures['rows_per_sec']:,.0f} rows/s, " + (
        "" if busy is None else f"{busy:.0%} busy, "
    )
    return f"{text}{elapsed_sec:.1f} s in all"


def report(text: str) -> None:
    """Print a line of progress."""
    print(f"  {text}", file=sys.stderr, flush=True)


def find_errors(results: dict) -> list[str]:
    """Return the errors of all sides, except that there was no time for one."""
    return [
        f"{name} {precision} {side}: {run['error']}"
        for name, precisions in results.items()
        if "skipped" not in precisions
        for precision, sides in precisions.items()
        for side, run in sides.items()
        if run.get("error", NO_TIME) != NO_TIME
    ]


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


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of what to measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="a few rows, to try the code")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--precisions", nargs="+", default=["stored", "bfloat16"])
    parser.add_argument("--threads", type=int, default=min(len(os.sched_getaffinity(0)), 8))
    parser.add_argument("--limit-sec", type=float, default=1800)
    parser.add_argument("--json", type=Path, default=Path("build/bench/gpu.json"))
    return parser


def main() -> int:
    arguments = make_parser().parse_args()
    obstacle = find_gpu_obstacle() if arguments.device == "cuda" else None
    if obstacle:
        print(f"skipped: {obstacle}; --device cpu --small tries the code on the CPU")
        return 0
    machine = describe_machine(arguments.device)
    given = {name: getattr(arguments, name) for name in ("device", "small", "threads")}
    results: dict[str, dict] = {}
    document = {"machine": machine, "given": given, "results": results}
    measure_all(arguments, results, lambda: write_json(arguments.json, document))
    print(json.dumps(machine, indent=2))
    print_table(results)
    errors = find_errors(results)
    print(*errors, sep="\n", file=sys.stderr)
    return 1 if errors else 0


def write_json(path: Path, document: dict) -> None:
    """Write a file that is complete at every moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    newer = path.with_name(f"{path.name}.new")
    newer.write_text(json.dumps(document, indent=2) + "\n")
    newer.replace(path)


if __name__ == "__main__":
    sys.exit(main())
