"""The sides of the GPU benchmark: a raw loop, the batch template, RunInference per element."""

from __future__ import annotations

import itertools
import json
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import numpy as np
import torch
from apache_beam.ml.inference.base import PredictionResult, RunInference
from apache_beam.ml.inference.pytorch_inference import PytorchModelHandlerTensor
from apache_beam.options.pipeline_options import PipelineOptions

from template.batch import build_batch_pipeline
from template.options import PredictConfig
from tests.gpu.workloads import CLOCK, WORKLOADS, decode, read_batches


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a side runs: a workload, and how."""

    workload: str
    device: str
    precision: str
    threads: int
    batch_size: int
    rows_per_element: int
    """Of the images, the first: RunInference per element is so slow that fewer do."""
    images: Path
    output: Path

    def autocast(self) -> AbstractContextManager:
        """Return torch's autocast, or nothing for the precision "stored"."""
        if self.precision == "stored":
            return nullcontext()
        return torch.autocast(self.device, dtype=getattr(torch, self.precision))

    def make_model(self):
        """Return the workload's model, not loaded yet."""
        model = WORKLOADS[self.workload]("none")
        model.device = self.device
        return model


def run_raw(run: Run) -> None:
    """A loop: threads read and decode ahead; one copies pinned bytes, predicts and writes."""
    model = run.make_model()
    network = model.ensure_model()
    declared = model.images.declared

    def load(batch: tuple[list[str], list | np.ndarray]) -> tuple[list[str], torch.Tensor]:
        keys, images = batch
        array = images if isinstance(images, np.ndarray) else np.stack([*map(decode, images)])
        pixels = torch.from_numpy(array)
        return keys, pixels.pin_memory() if run.device == "cuda" else pixels

    batches = read_batches(run.workload, run.images, run.batch_size)
    with ThreadPoolExecutor(run.threads) as pool, (run.output / "raw.jsonl").open("w") as file:
        for keys, pixels in _ahead(pool, load, batches, run.threads):
            CLOCK.begin()
            with torch.inference_mode(), run.autocast():
                moved = pixels.to(run.device, non_blocking=True)
                images = moved.unsqueeze(1) if moved.ndim == 3 else moved.permute(0, 3, 1, 2)
                images = images.float().div_(255)
                if declared.mean != 0:
                    images = images.sub_(declared.mean).div_(declared.std)
                values = network(images).argmax(1).cpu()
            CLOCK.end(len(values))
            for key, value in zip(keys, values.tolist(), strict=True):
                file.write(json.dumps({"key": key, "value": value}) + "\n")


def _ahead(pool: ThreadPoolExecutor, function: Callable, items: Iterator, count: int) -> Iterator:
    """Yield results in order, with several calls in progress."""
    waiting = []
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > count:
            yield waiting.pop(0).result()
    for each in waiting:
        yield each.result()


def run_flexpack(run: Run) -> None:
    """The batch template as it is packaged, with several threads in one process."""
    model = WORKLOADS[run.workload]
    pattern = "*.jpg" if run.workload == "efficientnet" else "*"
    options = PipelineOptions(
        [
            "--runner=FnApiRunner",
            "--direct_running_mode=multi_threading",
            f"--direct_num_workers={run.threads}",
            f"--input={run.images}/{pattern}",
            f"--output={run.output / 'flexpack'}",
            "--model_path=none",
            f"--model_class={model.__module__}:{model.__name__}",
            f"--batch_size={run.batch_size}",
            f"--device={run.device}",
            f"--precision={run.precision}",
        ]
    )
    with beam.Pipeline(options=options) as pipeline:
        build_batch_pipeline(pipeline, PredictConfig.from_options(options))


class ElementHandler(PytorchModelHandlerTensor):
    """Beam's handler of tensors, with the workload's network."""

    def __init__(self, run: Run) -> None:
        super().__init__(
            state_dict_path="none",
            model_class=torch.nn.Identity,
            model_params={},
            device="GPU" if run.device == "cuda" else "CPU",
            max_batch_size=run.batch_size,
        )
        self._run = run

    def load_model(self) -> torch.nn.Module:
        """Return the network."""
        return self._run.make_model().ensure_model()

    def run_inference(self, batch, model, inference_args=None):
        """Stack the elements, move them, predict."""
        CLOCK.begin()
        with torch.inference_mode(), self._run.autocast():
            images = torch.stack(batch).to(self._run.device).float().div_(255)
            values = model(images).argmax(1).cpu()
        CLOCK.end(len(values))
        return [PredictionResult(image, value) for image, value in zip(batch, values, strict=True)]


def run_per_element(run: Run) -> None:
    """RunInference as Beam's documentation shows it: one tensor per element."""
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        _ = (
            pipeline
            | beam.Create([run])
            | beam.FlatMap(_read_elements)
            | RunInference(ElementHandler(run))
            | beam.Map(_format_element)
            | beam.io.WriteToText(str(run.output / "elements"), file_name_suffix=".jsonl")
        )


def _read_elements(run: Run) -> Iterator[torch.Tensor]:
    batches = read_batches(run.workload, run.images, run.batch_size)
    images = (image for _, batch in batches for image in batch)
    for image in itertools.islice(images, run.rows_per_element):
        pixels = torch.from_numpy(np.array(decode(image) if isinstance(image, Path) else image))
        yield pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1)


def _format_element(result: PredictionResult) -> str:
    return json.dumps({"value": int(result.inference)})


SIDES: dict[str, Callable[[Run], None]] = {
    "raw": run_raw,
    "flexpack": run_flexpack,
    "per_element": run_per_element,
}


def run_side(side: str, run: Run, result: Path) -> None:
    """Run a side in this process, and write its figures, or its error, as JSON."""
    if run.device == "cpu":
        torch.set_num_threads(1)
    try:
        SIDES[side](run)
        figures = CLOCK.figures()
    except BaseException:  # whatever it is, the other sides continue
        figures = {"error": traceback.format_exc().strip()[-2000:]}
    result.write_text(json.dumps(figures))
