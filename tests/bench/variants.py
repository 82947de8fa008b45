"""The workloads that ``bench_batch.py`` compares, each run in a separate process.

``python variants.py NAME --images IDX --weights PTH --output DIRECTORY`` runs one of them and
prints one JSON line: rows, CPU-seconds and wall seconds from after the imports to the end, the
CPU-seconds of the start-up until then, and the process's peak memory in MiB. All of them read the
same plain IDX file, predict with the recipe's network on one torch thread and write one JSON row
per image.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import orjson
import pandas as pd
import torch
from apache_beam.ml.inference.base import PredictionResult, RunInference
from apache_beam.ml.inference.pytorch_inference import PytorchModelHandlerTensor
from apache_beam.options.pipeline_options import PipelineOptions

from template.batch import build_batch_pipeline
from template.inference import ApplyModel
from template.model import BaseModel
from template.models.fashion_mnist import CLASSES
from template.models.fashion_mnist_network import FashionMnistNetwork
from template.options import PredictConfig

_HEADER = 16  # bytes of an idx3 header
_PIXELS = 28 * 28
_RECIPE_BATCH = 100
_RAW_BATCH = 1024


def count_rows(images: Path) -> int:
    return (images.stat().st_size - _HEADER) // _PIXELS


def read_batches(images: Path, size: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the first row and the pixels, uint8 (n, 28, 28), of each batch."""
    with images.open("rb") as file:
        file.seek(_HEADER)
        row = 0
        while content := file.read(size * _PIXELS):
            pixels = np.frombuffer(bytearray(content), np.uint8).reshape(-1, 28, 28)
            yield row, torch.from_numpy(pixels)
            row += len(pixels)


def load_network(weights: Path) -> FashionMnistNetwork:
    network = FashionMnistNetwork()
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval()


def format_row(key: str, logits: torch.Tensor) -> str:
    score, index = logits.softmax(0).max(0)
    return json.dumps(
        {
            "key": key,
            "class_index": int(index),
            "class_name": CLASSES[int(index)],
            "score": float(score),
        }
    )


def run_raw(
    images: Path,
    weights: Path,
    output: Path,
    dump: Callable[[object], bytes] = lambda row: json.dumps(row).encode(),
) -> None:
    """A plain loop: read a batch, predict it, write its rows."""
    network = load_network(weights)
    with torch.inference_mode(), (output / "raw.jsonl").open("wb") as file:
        for first, pixels in read_batches(images, _RAW_BATCH):
            scores, indices = network(pixels.float() / 255).softmax(1).max(1)
            for row, (index, score) in enumerate(
                zip(indices.tolist(), scores.tolist(), strict=True), start=first
            ):
                record = {
                    "key": f"{images.name}#{row}",
                    "class_index": index,
                    "class_name": CLASSES[index],
                    "score": score,
                }
                file.write(dump(record) + b"\n")


def run_raw_orjson(images: Path, weights: Path, output: Path) -> None:
    """The plain loop, with the JSON writer that the template's sink uses too."""
    run_raw(images, weights, output, dump=orjson.dumps)


def run_flexpack(images: Path, weights: Path, output: Path) -> None:
    """The batch template as it is packaged: source, ApplyModel, sinks, dead letters, counters."""
    options = PipelineOptions(
        [
            "--runner=FnApiRunner",
            f"--input={images}",
            f"--output={output / 'flexpack'}",
            f"--model_path={weights}",
            "--device=cpu",
        ]
    )
    with beam.Pipeline(options=options) as pipeline:
        build_batch_pipeline(pipeline, PredictConfig.from_options(options))


def run_per_element(images: Path, weights: Path, output: Path) -> None:
    """RunInference as Beam's documentation shows it: one tensor per element."""
    handler = PytorchModelHandlerTensor(
        state_dict_path=str(weights),
        model_class=FashionMnistNetwork,
        model_params={},
        device="CPU",
        max_batch_size=_RAW_BATCH,
    )

    def read_rows(path: str) -> Iterator[torch.Tensor]:
        for _, pixels in read_batches(Path(path), _RAW_BATCH):
            yield from pixels.float() / 255

    def format_result(result: PredictionResult) -> str:
        return format_row("", result.inference)

    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        (
            pipeline
            | beam.Create([str(images)])
            | beam.FlatMap(read_rows)
            | RunInference(handler)
            | beam.Map(format_result)
            | beam.io.WriteToText(str(output / "per_element"), file_name_suffix=".jsonl")
        )


class _RecipeModel(BaseModel):
    def load_model(self, path: str, **_: object) -> FashionMnistNetwork:
        return load_network(Path(path))

    def predict(self, df: pd.DataFrame) -> pd.DataFrame:
        with torch.no_grad():
            return pd.DataFrame({"logits": [self.ensure_model()(df["value"].iloc[0])]})


def run_recipe(images: Path, weights: Path, output: Path) -> None:
    """The recipe's shape: a DataFrame per 100 images, Reshuffle, ApplyModel, a JSON row each."""

    def read_frames(path: str) -> Iterator[pd.DataFrame]:
        for _, pixels in read_batches(Path(path), _RECIPE_BATCH):
            yield pd.DataFrame([{"batch_id": str(uuid.uuid4()), "value": pixels.float() / 255}])

    def format_frame(frame: pd.DataFrame) -> Iterable[str]:
        for logits in frame["logits"].iloc[0]:
            yield format_row(frame["batch_id"].iloc[0], logits)

    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        (
            pipeline
            | beam.Create([str(images)])
            | beam.FlatMap(read_frames)
            | beam.Reshuffle()
            | ApplyModel(model=_RecipeModel(str(weights)), key_column="batch_id")
            | beam.FlatMap(format_frame)
            | beam.io.WriteToText(str(output / "recipe"), file_name_suffix=".jsonl")
        )


VARIANTS: dict[str, Callable[[Path, Path, Path], None]] = {
    "raw": run_raw,
    "raw_orjson": run_raw_orjson,
    "flexpack": run_flexpack,
    "per_element": run_per_element,
    "recipe": run_recipe,
}


def cpu_seconds() -> float:
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def peak_mib() -> float:
    """Return the largest resident size of this program; getrusage would include its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=VARIANTS)
    for path in ("images", "weights", "output"):
        parser.add_argument(f"--{path}", type=Path, required=True)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    startup, began = cpu_seconds(), time.monotonic()
    VARIANTS[arguments.name](arguments.images, arguments.weights, arguments.output)
    print(
        json.dumps(
            {
                "rows": count_rows(arguments.images),
                "startup_cpu_sec": startup,
                "cpu_sec": cpu_seconds() - startup,
                "wall_sec": time.monotonic() - began,
                "peak_mib": peak_mib(),
            }
        )
    )


if __name__ == "__main__":
    main()
