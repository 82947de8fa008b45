"""Measures the batch template on images and tables against plain loops: make bench-tables.

IDX -> JSON Lines, CSV -> CSV and Parquet -> Parquet, each with the same model and one thread.
Each side predicts files of several sizes; a line through its CPU-seconds gives what a row costs
(the slope) and what a run costs before its first row (the constant). Figures are medians of
interleaved rounds, and ratios are those of slopes within the same round.

``--quick`` predicts smaller files in one process for each side, after one file that does not count.
Its constants are lower, because they are those of a second pipeline in a process.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import csv, parquet

from template.demo.garments import draw_garments, write_idx
from template.models.fashion_mnist_network import FashionMnistNetwork
from tests.bench import tables
from tests.bench.results import summarize_tables
from tests.bench.rounds import Round, run_rounds
from tests.bench.side import Figures, SideFailedError, measure
from tests.bench.tables_sides import SIDES

_SIZES = (1_000, 100_000, 300_000)
_QUICK_SIZES = (20_000, 60_000, 100_000)
_WARM_UP_ROWS = 1_000
_SUFFIXES = {"idx": "-images-idx3-ubyte", "csv": ".csv", "parquet": ".parquet"}
NETWORKS = {"idx": FashionMnistNetwork, "csv": tables.Network, "parquet": tables.Network}
_TOLERANCE = 1e-5


def write_file(folder: Path, file_format: str, count: int) -> Path:
    """Write ``count`` rows of a format."""
    path = folder / f"{count}{_SUFFIXES[file_format]}"
    if file_format != "idx":
        return tables.write_table(path, count)
    drawn, _ = draw_garments(5000, seed=3)
    write_idx(path, np.resize(drawn, (count, *drawn.shape[1:])))
    return path


def compare(
    file_format: str, files: Mapping[int, Path], weights: Path, warm_up: Path | None
) -> Round:
    """Run every side of a format on files of every size, and check that they wrote the same.

    With ``warm_up`` a side predicts all of them in one process, after the warm-up file.
    """
    if warm_up is None:
        groups = [[path] for path in files.values()]
    else:
        groups = [[warm_up, *files.values()]]
    found: Round = {}
    expected: float | None = None
    for side in SIDES[file_format]:
        figures: list[Figures] = []
        with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as folder:
            for number, group in enumerate(groups):
                output = Path(folder, str(number))
                output.mkdir()
                command = [sys.executable, "-m", "tests.bench.tables_sides", file_format, side]
                figures += measure([*command, str(weights), str(output), *map(str, group)])
            largest = output / str(len(group) - 1)
            rows, total = read_written(largest, file_format)
            expected = total if expected is None else expected
            if rows != max(files) or abs(total - expected) > _TOLERANCE * rows:
                raise SideFailedError(
                    f"{file_format} {side} wrote {rows:,} rows whose risks add up to {total}; "
                    f"expected {max(files):,} and {expected}"
                )
        counted = figures[-len(files) :]
        found[side] = [
            {"rows": size, **figure} for size, figure in zip(files, counted, strict=True)
        ]
    return found


def read_written(folder: Path, file_format: str) -> tuple[int, float]:
    """Return how many rows a side wrote, and the sum of their risks; the sum is 0 for IDX."""
    if file_format == "idx":
        written = folder.glob("*.jsonl")
        return sum(path.read_bytes().count(b"\n") for path in written), 0.0
    read = csv.read_csv if file_format == "csv" else parquet.read_table
    parts = [read(path) for path in folder.glob(f"rows*.{file_format}")]
    return sum(map(len, parts)), sum(part["risk"].to_numpy().sum(dtype="float64") for part in parts)


def show(results: Mapping[str, Any]) -> None:
    """Print a table."""
    print(f"\n{results['date']}, {results['machine']}; medians of "
          f"{'/'.join(str(len(rounds)) for rounds in results['rounds'].values())} rounds of "
          f"{', '.join(f'{size:,}' for size in results['given']['sizes'])} rows")  # fmt: skip
    print(f"{'':9}{'':10}{'CPU us a row':>14}{'constant s':>12}{'flexpack, of its slope':>24}"
          f"{'largest, CPU s':>16}{'peak MiB':>10}")  # fmt: skip
    for file_format, sides in summarize_tables(results).items():
        for side, figures in sides.items():
            print(f"{file_format:9}{side:10}{figures['row_us']:14.2f}"
                  f"{figures['constant_sec']:12.2f}{figures['flexpack_of_it']:24.2f}"
                  f"{figures['largest_cpu_sec']:16.2f}{figures['peak_mib']:10.0f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--formats", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--sizes", nargs="+", type=int, help="of the files, in rows; ascending")
    parser.add_argument("--rounds", type=int, help="default: 5, with --quick 3")
    parser.add_argument("--seconds", type=float, help="begin nothing after so many")
    parser.add_argument("--quick", action="store_true", help="slopes within two minutes")
    parser.add_argument("--json", type=Path, default=Path("build/bench/tables.json"))
    parser.add_argument("--show", action="store_true", help="print what the file --json holds")
    arguments = parser.parse_args()
    if arguments.show:
        show(json.loads(arguments.json.read_text()))
        return

    sizes = sorted(arguments.sizes or (_QUICK_SIZES if arguments.quick else _SIZES))
    if len(sizes) < 3:
        parser.error("--sizes: a line needs three sizes at least")
    with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as temporary:
        folder = Path(temporary)
        weights = {
            file_format: tables.write_weights(folder / f"{file_format}.pth", network())
            for file_format, network in NETWORKS.items()
        }
        cases = {}
        for file_format in arguments.formats:
            files = {size: write_file(folder, file_format, size) for size in sizes}
            warm_up = write_file(folder, file_format, _WARM_UP_ROWS) if arguments.quick else None
            cases[file_format] = functools.partial(
                compare, file_format, files, weights[file_format], warm_up
            )
        given = {"sizes": sizes, "quick": arguments.quick}
        rounds = arguments.rounds or (3 if arguments.quick else 5)
        try:
            results = run_rounds(
                arguments.json, given, cases, rounds=rounds, seconds=arguments.seconds
            )
        except SideFailedError as error:
            sys.exit(str(error))
    show(results)


if __name__ == "__main__":
    main()
