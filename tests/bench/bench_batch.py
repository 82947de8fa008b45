"""Compares the batch template with a raw torch loop, RunInference per element and the recipe.

``make bench`` runs every workload of ``variants.py`` in turn, several rounds over, each time in a
fresh process. It prints medians and the ratios to the raw loop. Ratios are taken round by round,
because other load on the machine affects both. CPU time is counted after the imports, whose cost is
in the start-up column. ``make bench ARGS="--memory"`` runs the batch template over 1,000,000 images
and prints its peak memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from template.demo.garments import draw_garments, write_idx
from template.demo.train import WEIGHTS_NAME, write_demo_files

_VARIANTS = ("raw", "raw_orjson", "flexpack", "per_element", "recipe")
_TIMEOUT_SEC = 1800
_MEMORY_IMAGES = 1_000_000

Figures = dict[str, float]


def write_images(path: Path, count: int) -> Path:
    """Write ``count`` images, which repeat a few drawn ones."""
    drawn, _ = draw_garments(5000, seed=3)
    write_idx(path, np.resize(drawn, (count, *drawn.shape[1:])))
    return path


def measure(variant: str, images: Path, weights: Path) -> Figures:
    """Run one workload in a separate process; check that it wrote a row per image."""
    with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as output:
        command = [sys.executable, str(Path(__file__).with_name("variants.py")), variant]
        command += [f"--images={images}", f"--weights={weights}", f"--output={output}"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_SEC, check=False
        )
        if done.returncode:
            sys.exit(f"{variant} failed:\n{done.stderr}")
        figures: Figures = json.loads(done.stdout.splitlines()[-1])
        written = sum(
            path.read_bytes().count(b"\n") for path in Path(output).rglob("*") if path.is_file()
        )
        if written != figures["rows"]:
            sys.exit(f"{variant} wrote {written} rows for {figures['rows']:.0f} images")
        return figures


def compare(images: Path, weights: Path, rounds: int) -> None:
    """Print a line per workload: medians, and ratios to the raw loop of the same round."""
    results: dict[str, list[Figures]] = {variant: [] for variant in _VARIANTS}
    for number in range(rounds):
        for variant in _VARIANTS:
            results[variant].append(measure(variant, images, weights))
            print(f"  round {number + 1}/{rounds} {variant}", file=sys.stderr, flush=True)

    print(f"\n{results['raw'][0]['rows']:,.0f} images, medians of {rounds} rounds")
    print(f"{'':12}{'CPU s':>8}{'wall s':>8}{'rows/CPU-s':>12}{'of raw, CPU':>13}"
          f"{'of raw, wall':>14}{'peak MiB':>10}{'start-up CPU s':>16}")  # fmt: skip
    for variant, runs in results.items():

        def median(field: str, runs: list[Figures] = runs) -> float:
            return statistics.median(run[field] for run in runs)

        def of_raw(field: str, runs: list[Figures] = runs) -> float:
            pairs = zip(results["raw"], runs, strict=True)
            return statistics.median(raw[field] / run[field] for raw, run in pairs)

        print(f"{variant:12}{median('cpu_sec'):8.2f}{median('wall_sec'):8.2f}"
              f"{runs[0]['rows'] / median('cpu_sec'):12,.0f}{of_raw('cpu_sec'):13.2f}"
              f"{of_raw('wall_sec'):14.2f}{median('peak_mib'):10.0f}"
              f"{median('startup_cpu_sec'):16.2f}")  # fmt: skip
    ratio = statistics.median(
        slow["cpu_sec"] / ours["cpu_sec"]
        for slow, ours in zip(results["per_element"], results["flexpack"], strict=True)
    )
    print(f"flexpack predicts {ratio:.1f} times as many rows per CPU-second as per_element")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[60_000, 240_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="peak memory at 1,000,000 images")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as folder:
        directory = Path(folder)
        write_demo_files(directory)
        weights = directory / WEIGHTS_NAME
        if arguments.memory:
            images = write_images(directory / "images-idx3-ubyte", _MEMORY_IMAGES)
            figures = measure("flexpack", images, weights)
            print(f"{_MEMORY_IMAGES:,} images: peak {figures['peak_mib']:.0f} MiB, "
                  f"{figures['cpu_sec']:.1f} CPU s, {figures['wall_sec']:.1f} s")  # fmt: skip
            return
        for count in arguments.images:
            images = write_images(directory / f"{count}-images-idx3-ubyte", count)
            compare(images, weights, arguments.rounds)


if __name__ == "__main__":
    main()
