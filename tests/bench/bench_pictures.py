"""Measures the batch template on photographs against a raw loop, and Daft: make bench-pictures.

All read the same JPEG files, resize them to 224x224 (bilinear, proportions ignored) and write a
JSON row for each. With the *free* model, which sums pixels, what remains is decoding and feeding;
the sums show that flexpack's pixels are those of the loop. Rounds are interleaved, one torch thread
each; figures are medians, ratios those of CPU-seconds in the same round.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import pictures

_TIMEOUT_SEC = 1800
_RAW_BATCH = 64
_MODELS = {"free": "FreeModel", "scaled": "ScaledModel", "real": "EfficientNetLite0"}
_DAFT = Path(__file__).with_name("pictures_daft.py")
_DAFT_PACKAGES = ("daft", "numpy", "pillow")


def run_raw(folder: Path, output: Path, model: str) -> None:
    """A loop: open, convert and resize with Pillow, predict a batch, write its rows."""
    import numpy as np
    import torch
    from PIL import Image

    network = pictures.load_network() if model == "real" else None
    paths = sorted(folder.glob("*.jpg"))
    with (output / "raw.jsonl").open("w") as file, torch.inference_mode():
        for start in range(0, len(paths), _RAW_BATCH):
            batch = paths[start : start + _RAW_BATCH]
            images = np.empty((len(batch), pictures.SIDE, pictures.SIDE, 3), np.uint8)
            for position, path in enumerate(batch):
                with Image.open(path) as image:
                    size = (pictures.SIDE, pictures.SIDE)
                    images[position] = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
            if network is None:
                values = pictures.sum_pixels(images)
            else:
                tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float()
                values = network(tensor.div_(255).sub_(127 / 255).div_(128 / 255)).argmax(1)
            for path, value in zip(batch, values.tolist(), strict=True):
                file.write(json.dumps({"key": str(path), "value": value}) + "\n")


def run_flexpack(folder: Path, output: Path, model: str) -> None:
    """The batch template as it is packaged."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from template.batch import build_batch_pipeline
    from template.options import PredictConfig

    options = PipelineOptions(
        [
            "--runner=FnApiRunner",
            f"--input={folder}/*.jpg",
            f"--output={output / 'flexpack'}",
            f"--model_path={folder}",
            f"--model_class=tests.bench.pictures:{_MODELS[model]}",
            f"--batch_size={_RAW_BATCH}",
            "--device=cpu",
        ]
    )
    with beam.Pipeline(options=options) as pipeline:
        build_batch_pipeline(pipeline, PredictConfig.from_options(options))


_RUNS: dict[str, Callable[[Path, Path, str], None]] = {"raw": run_raw, "flexpack": run_flexpack}


def run_one(name: str, folder: Path, output: Path, model: str) -> None:
    """Run one side in this process and print its figures."""
    import torch

    from tests.bench.variants import cpu_seconds, peak_mib

    torch.set_num_threads(1)
    startup, began = cpu_seconds(), time.monotonic()
    _RUNS[name](folder, output, model)
    figures = {
        "cpu_sec": cpu_seconds() - startup,
        "wall_sec": time.monotonic() - began,
        "peak_mib": peak_mib(),
    }
    print(json.dumps(figures))


def measure(command: list[str], output: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Run one side in a process of its own; return its figures, and the value of each file."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_TIMEOUT_SEC, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    rows = {}
    for path in output.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            rows[Path(row["key"]).name] = row["value"]
    return json.loads(done.stdout.splitlines()[-1]), rows


def compare(folder: Path, model: str, sides: dict[str, list[str]], rounds: int) -> dict:
    """Return each side's medians, and its ratio to the raw loop of the same round."""
    count = len(list(folder.glob("*.jpg")))
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    alike = {}
    for number in range(rounds):
        expected: dict[str, int] = {}
        for side, command in sides.items():
            with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as output:
                figures, rows = measure([*command, str(folder), output], Path(output))
            if len(rows) != count:
                sys.exit(f"{side} wrote {len(rows)} rows for {count} pictures")
            expected = expected or rows
            alike[side] = sum(rows[name] == value for name, value in expected.items()) / count
            if side == "flexpack" and model == "free" and alike[side] != 1:
                sys.exit(f"flexpack's pixels are those of the raw loop for {alike[side]:.1%} only")
            runs[side].append(figures)
            print(f"  {model} {number + 1}/{rounds} {side}", file=sys.stderr, flush=True)
    return {
        side: {
            **{name: statistics.median(run[name] for run in found) for name in found[0]},
            "of_raw_cpu": statistics.median(
                raw["cpu_sec"] / run["cpu_sec"] for raw, run in zip(runs["raw"], found, strict=True)
            ),
            "same_values": alike[side],
        }
        for side, found in runs.items()
    }


def make_daft(folder: Path) -> str:
    """Return the Python of an environment with Daft, which is made if it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [python, "-m", "pip", "install", "--quiet", *_DAFT_PACKAGES]
        subprocess.run(install, check=True)
    return str(python)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=6000)
    parser.add_argument("--size", choices=pictures.SIZES, default="imagenet")
    parser.add_argument("--models", nargs="+", choices=_MODELS, default=["free", "scaled"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--daft", action="store_true", help="make an environment for Daft as well")
    parser.add_argument("--json", type=Path, default=Path("build/bench/pictures.json"))
    parser.add_argument("--run", nargs=2, metavar=("SIDE", "MODEL"), help=argparse.SUPPRESS)
    parser.add_argument("places", nargs="*", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run_one(arguments.run[0], *arguments.places, arguments.run[1])
        return

    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    results = {}
    with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as temporary:
        folder = Path(temporary) / "pictures"
        pictures.write_pictures(folder, arguments.pictures, pictures.SIZES[arguments.size])
        for model in arguments.models:
            here = [sys.executable, "-m", "tests.bench.bench_pictures", "--run"]
            sides = {
                "raw": [*here, "raw", model],
                "flexpack": [*here, "flexpack", model],
            }
            if arguments.daft and model == "free":
                sides["daft"] = [make_daft(arguments.json.parent / "daft"), str(_DAFT)]
            results[model] = compare(folder, model, sides, arguments.rounds)
    machine = {"machine": platform.processor() or platform.machine(), "date": time.strftime("%F")}
    given = {"pictures": arguments.pictures, "size": arguments.size, "rounds": arguments.rounds}
    arguments.json.write_text(json.dumps({**machine, **given, "results": results}, indent=2) + "\n")

    print(f"\n{arguments.pictures:,} pictures of {arguments.size}, medians of {arguments.rounds}")
    print(f"{'model':8}{'':10}{'CPU s':>8}{'wall s':>8}{'of raw, CPU':>13}{'peak MiB':>10}"
          f"{'same values':>13}")  # fmt: skip
    for model, sides_ in results.items():
        for side, run in sides_.items():
            print(f"{model:8}{side:10}{run['cpu_sec']:8.2f}{run['wall_sec']:8.2f}"
                  f"{run['of_raw_cpu']:13.2f}{run['peak_mib']:10.0f}"
                  f"{run['same_values']:13.1%}")  # fmt: skip


if __name__ == "__main__":
    main()
