"""``make demo``: from weights to predictions on the local Dataflow.

Shows each ``flexpack`` command before it runs, so that a reader can do the same by hand. It uses
the kit's own drawn images and weights, unless others are named; the parts that need torch (drawing,
training, the report) run as ``python -m template.demo...`` in separate processes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from launcher import Dataflow, FlexpackError, InputError, RowCounts
from launcher.demo.steps import (
    BUCKET,
    IMAGES,
    LABELS,
    PROJECT,
    REGION,
    WEIGHTS,
    CommandFailedError,
    draw_garments,
    run_flexpack,
    run_python,
    stage,
    start_emulator,
)
from launcher.extras import require_extras

_SHEET = Path("demo-output/contact-sheet.png")
_SPEC = f"gs://{BUCKET}/templates/batch.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", default="", help="IDX file of images; default: drawn garments")
    parser.add_argument("--labels", default="", help="IDX file of the true classes")
    parser.add_argument("--model", default="", help="weights of the built-in model")
    parser.add_argument("--port", default="9100", help="of the local Dataflow, if none is running")
    arguments = parser.parse_args(argv)
    try:
        _run_demo(arguments.input, arguments.labels, arguments.model, arguments.port)
    except CommandFailedError as error:
        return error.exit_status
    except FlexpackError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def _run_demo(images: str, labels: str, weights: str, port: str) -> None:
    require_extras("the demo", "template", "emulator")
    if bool(images) != bool(weights):
        raise InputError(
            "INPUT and MODEL go together: name the images and the weights that fit them, or neither"
        )
    for path in filter(None, (images, labels, weights)):
        if not path.startswith("gs://") and not Path(path).is_file():
            raise InputError(f"{path}: no such file; INPUT, LABELS and MODEL take files or gs://")
    if not images:
        draw_garments()
        images, labels, weights = str(IMAGES), str(LABELS), str(WEIGHTS)
    start_emulator(port)
    images, labels, weights = (stage(path) for path in (images, labels, weights))
    run_flexpack("build", _SPEC, "--template=batch", "--image=local/flexpack")
    job_name = f"fashion-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    output = f"gs://{BUCKET}/predictions/{job_name}"
    run_flexpack(
        *("run", job_name, f"--template-file-gcs-location={_SPEC}"),
        *(f"--project={PROJECT}", f"--region={REGION}"),
        *(f"--staging-location=gs://{BUCKET}/staging", "--wait"),
        *(f"--parameters=input={images}", f"--parameters=model_path={weights}"),
        f"--parameters=output={output}",
    )
    _report(job_name, output, images, labels)


def _report(job_name: str, output: str, images: str, labels: str) -> None:
    dataflow = Dataflow(PROJECT, REGION)
    (job,) = dataflow.list(name=job_name)
    counts = RowCounts.from_metrics(dataflow.metrics(job.id))
    print(f"\njob            {job.id}")
    print(f"state          {job.current_state}")
    print(
        f"rows           {counts.rows_read:,} read, {counts.predictions:,} predicted, "
        f"{counts.dead_letters:,} dead-lettered"
    )
    print(f"predictions    {output}-?????-of-?????.jsonl")
    if counts.dead_letters:
        print(f"dead letters   {output}-errors-*.jsonl")
    sys.stdout.flush()
    run_python(
        "template.demo.report",
        *(f"--predictions={output}", f"--images={images}"),
        *([f"--labels={labels}"] if labels else []),
        f"--sheet={_SHEET}",
    )
    print('the local Dataflow still runs: eval "$(.venv/bin/flexpack emulator env)" points gcloud '
          "and\nthe google clients at it; .venv/bin/flexpack emulator stop ends it")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
