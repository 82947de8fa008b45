"""Measures how the cost of jobs on the local Dataflow grows: make bench-growth.

Rows: files of 10,000 to 1,000,000 rows on one worker and on two. Wall time runs from the launch to
the end of the job, with every process started from scratch. The even share is the CPU time of the
less busy worker divided by that of the busier one, both without the cost of a job of ten rows.
Blocks: the same file with other values of ``batch_size``, in one process. Files: many small
files, and the requests that Cloud Storage receives for each.
"""

from __future__ import annotations

import argparse
import collections
import functools
import json
import logging
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench import tables
from tests.bench.bench_tables import NETWORKS, write_file
from tests.bench.local_dataflow import LocalDataflow
from tests.bench.process_tree import ProcessTree
from tests.bench.results import find_shares
from tests.bench.rounds import Round, run_rounds
from tests.bench.side import SideFailedError, measure
from tests.bench.tables_sides import parameters

_FORMATS = ("idx", "csv", "parquet")
_SIZES = (10, 10_000, 100_000, 1_000_000)
_WORKERS = (1, 2)
_BLOCK_ROWS = (64, 256, 1024, 4096, 16_384)
_BLOCKS_FILE_ROWS = 100_000
_FILES = (100, 1000, 10_000, 100_000)
_FILE_ROWS = 20
_STORED_FILES = 200
_WORKER_PROGRAM = "worker_boot.py"
_REQUEST = re.compile(r'"(?P<method>[A-Z]+) (?P<path>/[^ ?]*)')


def run_jobs(file_format: str, workers: int, files: Mapping[int, Path], weights: Path) -> Round:
    """Run a job for each file, on a local Dataflow that starts every process from scratch."""
    found: Round = {}
    with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as temporary, ProcessTree() as tree:
        dataflow = LocalDataflow(Path(temporary, "dataflow"), warm=False)
        try:
            for size, file in files.items():
                output = Path(temporary, f"out-{size}")
                output.mkdir()
                seen = len(tree.cpu_sec_of(_WORKER_PROGRAM))
                cpu, began = tree.cpu_sec(), time.monotonic()
                dataflow.predict(parameters(file, weights, output), workers=workers)
                found[str(size)] = {
                    "wall_sec": time.monotonic() - began,
                    "cpu_sec": tree.cpu_sec() - cpu,
                    "workers_cpu_sec": sorted(tree.cpu_sec_of(_WORKER_PROGRAM)[seen:]),
                }
        finally:
            dataflow.stop()
    return found


def run_blocks(file: Path, weights: Path, file_format: str) -> Round:
    """Predict a file in one process, with blocks of each size."""
    found: Round = {}
    for rows in _BLOCK_ROWS:
        with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as output:
            command = [sys.executable, "-m", "tests.bench.tables_sides", file_format]
            command += [f"flexpack:{rows}", str(weights), output, str(file)]
            (found[str(rows)],) = measure(command)
    return found


def run_files(folder: Path, weights: Path) -> Round:
    """Predict folders of small files in one process."""
    found: Round = {}
    for place in sorted(folder.iterdir(), key=lambda each: int(each.name)):
        with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as output:
            command = [sys.executable, "-m", "tests.bench.tables_sides", "csv", "flexpack"]
            (found[place.name],) = measure([*command, str(weights), output, f"{place}/*.csv"])
    return found


def count_requests(weights: Path) -> Round:
    """Predict small objects of the local Cloud Storage; return its requests for each object."""
    requests: collections.Counter[str] = collections.Counter()

    class Counter(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            match = _REQUEST.search(record.getMessage())
            if match and "/small" in match["path"]:
                kind = "media" if match["path"].startswith("/download") else "metadata"
                requests[f"{match['method']} {kind}"] += 1

    from tests.bench.tables_sides import run_flexpack

    logger = logging.getLogger("urllib3.connectionpool")
    with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as temporary, ProcessTree():
        dataflow = LocalDataflow(Path(temporary, "dataflow"), warm=False)
        try:
            one = tables.write_table(Path(temporary, "small.csv"), _FILE_ROWS)
            for number in range(_STORED_FILES):
                blob = dataflow.bucket.blob(f"small-{number:06}.csv")
                blob.upload_from_filename(str(one))
            handler = Counter()
            logger.addHandler(handler)
            logger.setLevel(logging.DEBUG)
            logger.propagate = False
            began = time.monotonic()
            run_flexpack(f"gs://{dataflow.bucket.name}/small-*.csv", weights, Path(temporary))
            wall = time.monotonic() - began
            logger.removeHandler(handler)
        finally:
            dataflow.stop()
    per_object = {kind: count / _STORED_FILES for kind, count in requests.items()}
    return {"objects": {"count": _STORED_FILES, "wall_sec": wall, "per_object": per_object}}


def show(results: Mapping[str, Any]) -> None:
    """Print a line for each measurement."""
    print(f"\n{results['date']}, {results['machine']}")
    for case, rounds in results["rounds"].items():
        for number, found in enumerate(rounds, 1):
            print(f"\n{case}, round {number}, load {found['load']}")
            first = next(iter(found["sides"].values()))
            for name, run in found["sides"].items():
                print(f"  {name:>9}  " + _describe(run, first))


def _describe(run: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    if "per_object" in run:
        each = ", ".join(f"{count:.2f} {kind}" for kind, count in run["per_object"].items())
        return f"{run['count']} objects of Cloud Storage: {each} an object"
    text = f"CPU {run['cpu_sec']:7.2f} s  wall {run['wall_sec']:7.2f} s"
    if len(run.get("workers_cpu_sec", ())) > 1 and run is not first:
        least, most = find_shares(run, first)
        text += f"  workers {least:.2f} and {most:.2f} CPU s, even share {least / most:.2f}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", nargs="+", choices=("rows", "blocks", "files"))
    parser.add_argument("--formats", nargs="+", choices=_FORMATS, default=_FORMATS)
    parser.add_argument("--sizes", nargs="+", type=int, default=_SIZES, help="in rows, ascending")
    parser.add_argument("--files", nargs="+", type=int, default=_FILES, help="how many small ones")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="begin nothing after so many")
    parser.add_argument("--json", type=Path, default=Path("build/bench/growth.json"))
    parser.add_argument("--show", action="store_true", help="print what the file --json holds")
    arguments = parser.parse_args()
    if arguments.show:
        show(json.loads(arguments.json.read_text()))
        return

    wanted = arguments.of or ("rows", "blocks", "files")
    with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as temporary:
        folder = Path(temporary)
        weights = {
            name: tables.write_weights(folder / f"{name}.pth", NETWORKS[name]())
            for name in _FORMATS
        }
        cases = {}
        for file_format in arguments.formats:
            if "rows" in wanted:
                files = {size: write_file(folder, file_format, size) for size in arguments.sizes}
                for workers in _WORKERS:
                    cases[f"{file_format}, rows, {workers} workers"] = functools.partial(
                        run_jobs, file_format, workers, files, weights[file_format]
                    )
            if "blocks" in wanted:
                file = write_file(folder, file_format, _BLOCKS_FILE_ROWS)
                cases[f"{file_format}, rows of a block"] = functools.partial(
                    run_blocks, file, weights[file_format], file_format
                )
        if "files" in wanted:
            small = folder / "small"
            for count in arguments.files:
                place = small / str(count)
                place.mkdir(parents=True)
                content = tables.write_table(folder / "one.csv", _FILE_ROWS).read_bytes()
                for number in range(count):
                    (place / f"{number:06}.csv").write_bytes(content)
            cases["small files"] = functools.partial(run_files, small, weights["csv"])
            cases["requests"] = functools.partial(count_requests, weights["csv"])
        given = {"sizes": list(arguments.sizes), "files": list(arguments.files)}
        try:
            results = run_rounds(
                arguments.json, given, cases, rounds=arguments.rounds, seconds=arguments.seconds
            )
        except SideFailedError as error:
            sys.exit(str(error))
    show(results)


if __name__ == "__main__":
    main()
