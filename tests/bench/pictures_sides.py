"""The sides of ``bench_pictures.py`` that need this environment: the raw loop, and flexpack.

``python -m tests.bench.pictures_sides SIDE MODEL WORKERS PICTURES OUTPUT`` predicts a folder of
pictures and writes a JSON row for each. Each side first predicts a few that do not count, so that
imports are done and processes are waiting. The programs of the other systems do the same.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from tests.bench import network, pictures
from tests.bench.side import run_parts

if TYPE_CHECKING:
    from tests.bench.local_dataflow import LocalDataflow

_BATCH = 64
_MODELS = {
    "free": "FreeModel",
    "fast free": "FastFreeModel",
    "real": "EfficientNetLite0",
    "fast real": "FastEfficientNetLite0",
}

Predict = Callable[[Path, Path], None]
"""Predicts the pictures of a folder into another."""


def predict_raw(model: str, workers: int, folder: Path, output: Path) -> None:
    """A loop: open, convert and resize with Pillow, predict a batch, write its rows."""
    paths = sorted(folder.glob("*.jpg"))
    if workers == 1:
        _predict_paths(model, paths, output / "raw.jsonl")
        return
    shares = [
        (model, paths[number::workers], output / f"raw-{number}.jsonl") for number in range(workers)
    ]
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        pool.starmap(_predict_paths, shares)


def _predict_paths(model: str, paths: Sequence[Path], output: Path) -> None:
    torch.set_num_threads(1)
    loaded = network.load() if model == "real" else None
    size = (pictures.SIDE, pictures.SIDE)
    with output.open("w") as file:
        for start in range(0, len(paths), _BATCH):
            batch = paths[start : start + _BATCH]
            images = np.empty((len(batch), *size, 3), np.uint8)
            for position, path in enumerate(batch):
                with Image.open(path) as image:
                    images[position] = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
            if loaded is None:
                values = pictures.sum_pixels(images).tolist()
            else:
                values = network.classify(loaded, images)
            for path, value in zip(batch, values, strict=True):
                file.write(json.dumps({"key": str(path), "value": value}) + "\n")


def predict_in_process(model: str, threads: int, folder: Path, output: Path) -> None:
    """The batch template as it is packaged, in one process; several threads as on a GPU worker."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from template.batch import build_batch_pipeline
    from template.options import PredictConfig

    values = _parameters(model, folder, output)
    flags = ["--runner=FnApiRunner", *(f"--{name}={value}" for name, value in values.items())]
    if threads > 1:
        flags += [f"--direct_num_workers={threads}", "--direct_running_mode=multi_threading"]
    options = PipelineOptions(flags)
    with beam.Pipeline(options=options) as pipeline:
        build_batch_pipeline(pipeline, PredictConfig.from_options(options))


def _parameters(model: str, folder: Path, output: Path) -> dict[str, str]:
    return {
        "input": f"{folder}/*.jpg",
        "output": f"{output}/flexpack",
        "model_path": __file__,  # a file that the models do not read
        "model_class": f"tests.bench.pictures:{_MODELS[model]}",
        "batch_size": str(_BATCH),
        "device": "cpu",
    }


def predict_on_workers(
    dataflow: LocalDataflow, model: str, workers: int, folder: Path, output: Path
) -> None:
    """A launch of the template on the local Dataflow, until its job is done."""
    dataflow.predict(_parameters(model, folder, output), workers=workers)


def main() -> None:
    side, model, workers_text, pictures_folder, output_folder = sys.argv[1:]
    workers = int(workers_text)
    torch.set_num_threads(1)
    folder, output = Path(pictures_folder), Path(output_folder)
    with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as temporary:
        few = Path(temporary, "few")
        few.mkdir()
        network.copy_some(folder, few)
        if side == "raw":
            predict: Predict = functools.partial(predict_raw, model, workers)
        elif side == "threads" or workers == 1:
            predict = functools.partial(predict_in_process, model, workers)
        else:
            from tests.bench.local_dataflow import LocalDataflow

            dataflow = LocalDataflow(Path(temporary, "dataflow"))
            predict = functools.partial(predict_on_workers, dataflow, model, workers)
        before = Path(temporary, "before")
        before.mkdir()
        predict(few, before)
        run_parts([functools.partial(predict, folder, output)])


if __name__ == "__main__":
    main()
