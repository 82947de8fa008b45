"""Plays both roles of the image inside it, and reports what it found as one JSON line.

``flexpack image test`` feeds it to the image's interpreter, after ``inventory.py``. It imports all
code and every package named in docker/requirements.in or the projects' requirements. As the
launcher it runs the entry file with the flags that Dataflow passes, and looks for the job that it
stages. As a worker it predicts a few images through Beam and compares the result with plain torch
or, in an image without torch, with plain Python; then it predicts with the user's model, if one is
given. ``launcher/image/checks.py`` judges the results.

Its argument is a JSON object: ``packages``, names of packages to import, and ``trial``, the user's
model: ``model_class`` or ``model_path``, and perhaps ``input`` and more ``parameters``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

REQUIREMENTS = Path("/opt/flexpack/locks/requirements.in")  # of the projects
ROWS = 16
TIMEOUT_SEC = 120
HAS_TORCH = importlib.util.find_spec("torch") is not None
# The template's modules that need torch.
TORCH_MODELS = "template.models."

# The example model of an image without torch.
BRIGHTNESS = """
from pathlib import Path

import pandas as pd

from template.model import BaseModel, stack_images


class Brightness(BaseModel):
    def load_model(self, path):
        return float(Path(path).read_text())

    def predict(self, df):
        means = stack_images(df).mean(axis=(1, 2))
        return pd.DataFrame({"brightness": means * self.ensure_model()})
"""
FACTOR = 0.5


def import_code() -> list[dict[str, str]]:
    """Import every module below PYTHONPATH; return those that fail, each with its error."""
    failures = []
    entry_file = Path(os.environ.get("FLEX_TEMPLATE_PYTHON_PY_FILE", ""))
    for folder in map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))):
        packages = [path.parent for path in folder.glob("*/__init__.py")]
        found = [path for package in packages for path in package.rglob("*.py")]
        for path in sorted([*folder.glob("*.py"), *found]):
            name = ".".join(path.relative_to(folder).with_suffix("").parts)
            # The entry file is run, as the launcher does; a __main__ would run too.
            if path.name == "__main__.py" or path == entry_file:
                continue
            if (
                not HAS_TORCH
                and name.startswith(TORCH_MODELS)
                and "import torch" in path.read_text()
            ):
                continue
            if error := try_import(name.removesuffix(".__init__")):
                failures.append({"name": str(path), "error": error})
    return failures


def read_project_requirements() -> list[str]:
    """Return the names of the packages that the code of projects asks for."""
    lines = REQUIREMENTS.read_text().splitlines() if REQUIREMENTS.exists() else []
    return [line for line in lines if line and not line.startswith("#")]


def import_packages(names: list[str]) -> list[dict[str, str]]:
    """Import the packages' modules; return those that fail, each with its error."""
    modules = metadata.packages_distributions()
    failures = []
    for name in names:
        tops = [
            top
            for top, distributions in modules.items()
            if name in map(canonical_name, distributions)
            and top.isidentifier()
            # An older version from the base, which this one hides, may have more modules.
            and importlib.util.find_spec(top)
        ]
        for top in sorted(tops):
            if not top.startswith("_") and (error := try_import(top)):
                failures.append({"name": name, "error": error})
                break
    return failures


def canonical_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def try_import(name: str) -> str | None:
    """Return the reason why a module cannot be imported, or None."""
    try:
        importlib.import_module(name)
    except (Exception, SystemExit) as error:
        text = "".join(traceback.format_exception_only(error)).strip()
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if not frame.filename.startswith("<frozen")]
        place = f"{own[-1].filename}, line {own[-1].lineno}: " if len(own) > 1 else ""
        return place + text
    return None


def write_inputs(folder: Path) -> None:
    """Write a few images and the example model's file."""
    header = struct.pack(">IIII", 0x0803, ROWS, 28, 28)
    pixels = bytes(number * 37 % 251 for number in range(ROWS * 28 * 28))
    (folder / "probe-images-idx3-ubyte").write_bytes(header + pixels)
    if HAS_TORCH:
        import torch

        from template.models.fashion_mnist_network import FashionMnistNetwork

        torch.manual_seed(0)
        torch.save(FashionMnistNetwork().state_dict(), folder / "model")
    else:
        (folder / "probe_model.py").write_text(BRIGHTNESS)
        (folder / "model").write_text(str(FACTOR))


def example_flags(folder: Path) -> list[str]:
    return [
        f"--input={folder}/probe-images-idx3-ubyte",
        f"--output={folder}/predictions",
        f"--model_path={folder}/model",
        *([] if HAS_TORCH else ["--model_class=probe_model:Brightness"]),
    ]


def predict_alone(folder: Path) -> list[dict[str, float]]:
    """Return the example model's predictions without Beam."""
    data = (folder / "probe-images-idx3-ubyte").read_bytes()[16:]
    if not HAS_TORCH:
        images = (data[start : start + 28 * 28] for start in range(0, len(data), 28 * 28))
        return [{"brightness": sum(image) / len(image) * FACTOR} for image in images]
    import torch

    from template.models.fashion_mnist_network import FashionMnistNetwork

    network = FashionMnistNetwork()
    network.load_state_dict(torch.load(folder / "model", weights_only=True))
    pixels = torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(ROWS, 28, 28)
    with torch.inference_mode():
        scores, indices = network.eval()(pixels.float() / 255).softmax(1).max(1)
    return [
        {"class_index": index.item(), "score": score.item()}
        for index, score in zip(indices, scores, strict=True)
    ]


def run_entry_file(*flags: str, modules: Path | None = None) -> None:
    """Run the entry file like the launcher; ``modules`` is one more folder of code."""
    env = dict(os.environ)
    if modules:
        env["PYTHONPATH"] = f"{env.get('PYTHONPATH', '')}:{modules}"
    done = subprocess.run(
        ["python", os.environ["FLEX_TEMPLATE_PYTHON_PY_FILE"], "--device=cpu", *flags],
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SEC,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}\n{(done.stderr or done.stdout)[-4000:]}")


def play_launcher(folder: Path) -> str | None:
    """Stage a job like Dataflow's launcher; return the job's type."""
    job_object = folder / "job_object"
    run_entry_file(
        *example_flags(folder),
        "--runner=DataflowRunner",
        "--project=my-project",
        "--region=us-central1",
        "--job_name=probe",
        "--no_auth",
        # Beam accepts paths outside Cloud Storage for a local service.
        "--dataflow_endpoint=http://localhost:1",
        # Beam creates only one level of folders there.
        f"--temp_location={folder}",
        f"--staging_location={folder}",
        f"--template_location={job_object}",
        modules=folder,
    )
    job_type: str | None = json.loads(job_object.read_text()).get("type")
    return job_type


def play_worker(folder: Path) -> dict[str, int]:
    """Predict with and without Beam; return how many rows there are and how many differ."""
    run_entry_file(*example_flags(folder), "--runner=FnApiRunner", modules=folder)
    predicted = read_lines(folder, "predictions-[0-9]*")
    rows = {int(row["key"].rpartition("#")[2]): row for row in predicted}
    same = sum(
        number in rows
        and all(abs(rows[number][name] - value) < 1e-5 for name, value in expected.items())
        for number, expected in enumerate(predict_alone(folder))
    )
    return {"rows": ROWS, "differing": ROWS - same}


def try_model(folder: Path, trial: dict[str, Any]) -> dict[str, Any]:
    """Import the user's model class, or that of the file's kind; load the file; predict the input.

    Returns:
        ``loaded``, and how many ``rows`` were predicted and ``failed``, with the ``first_error``.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    from template.model_options import make_model, read_model_opts
    from template.options import choose_model_class

    path, given = trial.get("model_path"), trial["parameters"]
    model_class = choose_model_class(trial["model_class"], path)
    result = {"loaded": path is not None, "rows": 0, "failed": 0, "first_error": None}
    if trial.get("input") is None:
        if path is not None:
            options = PipelineOptions([f"--{name}={value}" for name, value in given.items()])
            text = given.get("model_opts", "")
            model = make_model(model_class, path, read_model_opts(model_class, text, options))
            model.inspect()
            model.ensure_model()
        return result
    own = {name: trial[name] for name in ("model_class", "model_path", "input") if trial[name]}
    flags = {**given, **own, "output": str(folder / "predictions")}
    flags["output_format"] = "jsonl"
    run_entry_file(*(f"--{name}={value}" for name, value in flags.items()), "--runner=FnApiRunner")
    result["rows"] = len(read_lines(folder, "predictions-[0-9]*"))
    dead_letters = read_lines(folder, "predictions-errors-*")
    result["failed"] = len(dead_letters)
    if dead_letters:
        result["first_error"] = dead_letters[0]["error"]
    elif not result["rows"]:
        raise ValueError("the sample has no rows")
    return result


def read_lines(folder: Path, pattern: str) -> list[dict[str, Any]]:
    files = sorted(folder.glob(pattern))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def attempt(work: Callable[[], Any]) -> dict[str, Any]:
    """Return the result of ``work``, or its failure."""
    try:
        return {"result": work(), "error": None}
    except Exception:
        return {"result": None, "error": traceback.format_exc()}


def main(options: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(sys.stderr):
        folder = Path(directory)
        own = folder / "own"
        own.mkdir()
        trial = options.get("trial")
        facts = {
            "inputs": attempt(lambda: write_inputs(folder)),
            "launch": attempt(lambda: play_launcher(folder)),
            "prediction": attempt(lambda: play_worker(folder)),
            "code_failures": import_code(),
            "package_failures": import_packages(
                [*options.get("packages", []), *read_project_requirements()]
            ),
            "trial": attempt(lambda: try_model(own, trial)) if trial else None,
        }
    print(json.dumps(facts))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})
