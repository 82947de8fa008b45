"""Compares harness threads with prefetching in one thread: python -m tests.bench.bench_feeding.

The device is simulated: ``predict`` releases the interpreter and sleeps for the time that a GPU
would take, one block at a time. Reading and decoding JPEG files of 500x375 to 224x224 is real, and
so is the batch template around it. The busy share is the device's time for all rows divided by the
time from the first forward pass to the last. Prefetching is not part of flexpack: here a second
thread reads a split's next blocks while the device has one.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import queue
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import pandas as pd
from apache_beam.options.pipeline_options import PipelineOptions

from template.batch import build_batch_pipeline
from template.model import BaseModel, Images
from template.options import PredictConfig
from template.sources import read, small_files
from tests.gpu.bench import write_json
from tests.gpu.clock import Clock
from tests.gpu.workloads import write_input

_AHEAD = 2
_BATCH = 8
_GROUP_BYTES = 4 << 20
"""Of the files of a split: smaller than in a job, so that few pictures make enough splits."""
_CLOCK = Clock()
_DEVICE = threading.Lock()
_SEC_OF_A_ROW = "FLEXPACK_PRETENDED_SEC"
_SIDES = {"1 thread": (1, False), "prefetching": (1, True), "2 threads": (2, False)}
_SIDES |= {"4 threads": (4, False), "4, prefetching": (4, True)}


class Pretended(BaseModel):
    """Occupies the device for a time that depends on the number of rows."""

    images = Images(224, fit="stretch")

    def load_model(self, path: str) -> float:
        """Return the seconds for a row."""
        return float(os.environ[_SEC_OF_A_ROW])

    def predict(self, df: pd.DataFrame) -> dict[str, list[int]]:
        """Return zeros."""
        row_sec = self.ensure_model()
        pixels = self.images(df)
        _CLOCK.begin()
        with _DEVICE:
            time.sleep(row_sec * len(pixels))
        _CLOCK.end(len(df))
        return {"value": [0] * len(df)}


class Prefetching:
    """Stands in for the step that reads splits, and reads ahead in a thread."""

    def __init__(self, process: Any) -> None:
        self._process = process

    def __call__(self, dofn: beam.DoFn, element: Any) -> Iterator[Any]:
        """Yield what the step yields."""
        ready: queue.Queue = queue.Queue(_AHEAD)

        def fill() -> None:
            try:
                for part in self._process(dofn, element):
                    ready.put((part, None))
                ready.put((None, StopIteration()))
            except BaseException as error:
                ready.put((None, error))

        threading.Thread(target=fill, daemon=True).start()
        while True:
            part, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield part


@dataclass(frozen=True)
class Case:
    """A side, on a device with a certain speed."""

    side: str
    row_ms: float


def run(case: Case, images: Path, output: Path, result: Path) -> None:
    """Run a side in this process, and write its busy share."""
    threads, prefetches = _SIDES[case.side]
    os.environ[_SEC_OF_A_ROW] = str(case.row_ms / 1000)
    small_files._GROUP_BYTES = _GROUP_BYTES
    if prefetches:
        step = Prefetching(read._ReadSplit.process)
        setattr(read._ReadSplit, "process", lambda dofn, element: step(dofn, element))  # noqa: B010
    options = PipelineOptions(
        [
            "--runner=FnApiRunner",
            "--direct_running_mode=multi_threading",
            f"--direct_num_workers={threads}",
            f"--input={images}/*.jpg",
            f"--output={output / 'result'}",
            "--model_path=none",
            f"--model_class={Pretended.__module__}:{Pretended.__name__}",
            f"--batch_size={_BATCH}",
            "--device=cpu",
        ]
    )
    with beam.Pipeline(options=options) as pipeline:
        build_batch_pipeline(pipeline, PredictConfig.from_options(options))
    figures = _CLOCK.figures()
    rows, elapsed = figures["rows"], figures["predict_sec"]
    assert rows is not None
    assert elapsed is not None
    busy = rows * case.row_ms / 1000 / elapsed
    result.write_text(json.dumps({"rows": rows, "sec": elapsed, "busy": busy}))


def measure(case: Case, images: Path, output: Path) -> dict[str, float]:
    """Run a side in a separate process."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["template.batch", "tests.gpu.workloads"])
    result = output / "figures.json"
    process = processes.Process(target=run, args=(case, images, output, result))
    process.start()
    process.join()
    figures: dict[str, float] = json.loads(result.read_text())
    return figures


def print_table(rounds: dict[str, dict[str, list[dict]]]) -> None:
    """Print the median busy share of each side for each speed, and the spread."""
    names = list(next(iter(rounds.values())))
    print("| ms a row | " + " | ".join(names) + " |")
    print("|---:|" + "---:|" * len(names))
    for row_ms, sides in rounds.items():
        shares = [[each["busy"] for each in figures] for figures in sides.values()]
        cells = (f"{statistics.median(s):.2f} ({min(s):.2f}-{max(s):.2f})" for s in shares)
        print(f"| {row_ms} | " + " | ".join(cells) + " |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--row-ms", type=float, nargs="+", default=[2.0, 4.0])
    parser.add_argument("--sides", nargs="+", choices=_SIDES, default=list(_SIDES))
    parser.add_argument("--json", type=Path, default=Path("build/bench/feeding.json"))
    arguments = parser.parse_args()
    found: dict[str, dict[str, list[dict]]] = {
        f"{row_ms:g}": {side: [] for side in arguments.sides} for row_ms in arguments.row_ms
    }
    with tempfile.TemporaryDirectory(prefix="flexpack-feeding-") as folder:
        images = Path(folder, "images")
        write_input("efficientnet", images, arguments.rows)
        for number in range(arguments.rounds):
            for row_ms in arguments.row_ms:
                for side in arguments.sides:
                    output = Path(folder, f"{number}-{row_ms}-{side}")
                    output.mkdir()
                    load = os.getloadavg()[0]
                    figures = {**measure(Case(side, row_ms), images, output), "load": load}
                    found[f"{row_ms:g}"][side].append(figures)
                    print(f"  {row_ms:g} ms, {side}: {figures['busy']:.2f}", file=sys.stderr)
                    write_json(arguments.json, {"rows": arguments.rows, "rounds": found})
    print_table(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
