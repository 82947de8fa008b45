"""``make demo``: from weights to predictions on the local Dataflow.

Shows each ``flexpack`` command before it runs, so that a reader can do the same by hand. Images
and weights are the kit's own drawn ones, or any that are named; what torch has to do (drawing,
training, the report) runs as ``python -m template.demo...`` in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from launcher import Dataflow, FlexpackError, InputError, RowCounts, cli
from launcher.emulator import daemon

_DATA_DIR = Path(".flexpack")
_GARMENTS = _DATA_DIR / "demo"
_SHEET = Path("demo-output/contact-sheet.png")
_BUCKET = "flexpack-demo"
_SPEC = f"gs://{_BUCKET}/templates/batch.json"
_PROJECT = "local-project"
_REGION = "us-central1"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", default="", help="IDX file of images; default: drawn garments")
    parser.add_argument("--labels", default="", help="IDX file of the right classes")
    parser.add_argument("--model", default="", help="weights of the recipe's network")
    parser.add_argument("--port", default="9100", help="of the local Dataflow, where none runs yet")
    arguments = parser.parse_args(argv)
    try:
        _run_demo(arguments.input, arguments.labels, arguments.model, arguments.port)
    except FlexpackError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_status
    except subprocess.CalledProcessError as error:
        return error.returncode
    except CommandFailedError as failed:
        return failed.status
    return 0


class CommandFailedError(Exception):
    """A ``flexpack`` command, which has shown its own error, exited with ``status``."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _run_demo(images: str, labels: str, weights: str, port: str) -> None:
    if bool(images) != bool(weights):
        raise InputError(
            "INPUT and MODEL go together: name the images and the weights that fit them, or neither"
        )
    if not images:
        images, labels, weights = _draw_garments()

    _flexpack("emulator", "start", "--detach", f"--port={port}")
    info = daemon.find_running(_DATA_DIR)
    assert info is not None, "emulator start has just waited for it"
    os.environ.update(daemon.environment(info, project=_PROJECT))

    images, labels, weights = (_stage(path) for path in (images, labels, weights))
    _flexpack("build", _SPEC, "--template=batch", "--image=local/flexpack")
    job_name = f"fashion-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    output = f"gs://{_BUCKET}/predictions/{job_name}"
    _flexpack(
        *("run", job_name, f"--template-file-gcs-location={_SPEC}"),
        *(f"--project={_PROJECT}", f"--region={_REGION}"),
        *(f"--staging-location=gs://{_BUCKET}/staging", "--wait"),
        *(f"--parameters=input={images}", f"--parameters=model_path={weights}"),
        f"--parameters=output={output}",
    )
    _report(job_name, output, images, labels)


def _draw_garments() -> tuple[str, str, str]:
    """Draw and train where that has not been done; return images, labels, weights."""
    images, labels, weights = (
        _GARMENTS / name
        for name in (
            "garments-images-idx3-ubyte.gz",
            "garments-labels-idx1-ubyte.gz",
            "garments.pth",
        )
    )
    if not weights.exists():  # written last
        print("drawing garments and training the network on them, once", flush=True)
        _python("template.demo.train", str(_GARMENTS))
    return str(images), str(labels), str(weights)


def _stage(path: str) -> str:
    """Upload a local file to the demo's bucket, and return its address there."""
    if not path or path.startswith("gs://"):
        return path
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; INPUT, LABELS and MODEL take files or gs://")
    client = storage.Client(project=_PROJECT, credentials=AnonymousCredentials())
    bucket = client.lookup_bucket(_BUCKET) or client.create_bucket(_BUCKET)
    blob = bucket.blob(f"data/{Path(path).name}")
    blob.upload_from_filename(path)
    return f"gs://{_BUCKET}/{blob.name}"


def _report(job_name: str, output: str, images: str, labels: str) -> None:
    dataflow = Dataflow(_PROJECT, _REGION)
    (job,) = dataflow.list(name=job_name)
    counts = RowCounts.from_metrics(dataflow.metrics(job.id))
    print(f"\njob            {job.id}")
    print(f"state          {job.current_state}")
    print(
        f"rows           {counts.rows_read:,} read, {counts.predictions:,} predicted, "
        f"{counts.dead_letters:,} dead-lettered"
    )
    print(f"predictions    {output}-*.jsonl")
    if counts.dead_letters:
        print(f"dead letters   {output}-errors-*.jsonl")
    sys.stdout.flush()
    _python(
        "template.demo.report",
        *(f"--predictions={output}", f"--images={images}"),
        *([f"--labels={labels}"] if labels else []),
        f"--sheet={_SHEET}",
    )
    print('the local Dataflow runs on: eval "$(.venv/bin/flexpack emulator env)" points gcloud '
          "and\nthe google clients at it; .venv/bin/flexpack emulator stop ends it")  # fmt: skip


def _flexpack(*command: str) -> None:
    print(f"\n+ flexpack {shlex.join(command)}", flush=True)
    status = cli.main(command)
    if status:
        raise CommandFailedError(status)


def _python(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, timeout=600)


if __name__ == "__main__":
    sys.exit(main())
