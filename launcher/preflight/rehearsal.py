"""The rehearsal: the launcher phase for real, and a sample of the input through the pipeline.

Runs on a local Dataflow that the caller has started, with the user's interpreter and modules in
place of the image, the network off and a time limit. Nothing of it leaves this machine; the sample
alone is read from where the real input is. What it cannot show: the image itself, the GPU, the
machines.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launcher.dataflow import Dataflow
from launcher.diagnosis import diagnose
from launcher.errors import FlexpackError, JobFailed, JobTimeout, ServiceError
from launcher.jobs import Job, JobMessage, JobState, MessageImportance, RowCounts, wait_for_job
from launcher.preflight.finding import Finding, error, warning
from launcher.preflight.probe import ProbeError, run_probe
from launcher.preflight.sample import NoSample, read_sample
from launcher.request import LaunchConfig, build_launch_request
from launcher.spec import ContainerSpec, format_spec

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

BUCKET = "rehearsal"
REPORT = "FLEXPACK_REHEARSAL_REPORT"

# https://cloud.google.com/dataflow/quotas: a job's graph and its request.
_LARGEST_GRAPH_BYTES = 10_000_000
_LARGE_STEP_BYTES = 1_000_000
_SLOW_IMPORT_SEC = 10.0
# Of the ten minutes or so that the service gives a launcher, most go into starting its VM.
_SLOW_LAUNCH_SHARE = 0.5
_READ_TYPES = frozenset({"GCS_READ_FILE", "GCS_READ_FOLDER", "GCS_READ_BUCKET"})
_WRITE_TYPES = frozenset({"GCS_WRITE_FILE", "GCS_WRITE_FOLDER", "GCS_WRITE_BUCKET"})


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where a rehearsal is played.

    Attributes:
        dataflow: client of the local Dataflow.
        bucket: an empty bucket of its Cloud Storage.
        report: the file in which the processes note what they did.
        python: the interpreter that has the image's packages.
        launch_limit_sec: how long the launcher may take.
        run_limit_sec: how long the sample may take after that.
    """

    dataflow: Dataflow
    bucket: Bucket
    report: Path
    python: Path
    launch_limit_sec: float = 120.0
    run_limit_sec: float = 300.0
    sleep: Callable[[float], None] = time.sleep


@dataclass
class _Seen:
    """What an observer notes while it waits."""

    staged_after_sec: float | None = None
    clock: Callable[[], float] = time.monotonic
    started: float = field(default_factory=time.monotonic)

    def on_job(self, job: Job) -> None:
        if job.current_state not in (
            JobState.UNKNOWN,
            JobState.QUEUED,
            JobState.FAILED,
        ):
            self._note_staged()

    def on_message(self, message: JobMessage) -> None:
        """Note that workers start: a job may have failed before its state was asked for again."""
        if message.message_text.startswith("Starting "):
            self._note_staged()

    def on_metrics(self, metrics: object) -> None:
        """Pass over them."""

    def _note_staged(self) -> None:
        if self.staged_after_sec is None:
            self.staged_after_sec = self.clock() - self.started

    def on_outage(self, error: ServiceError) -> None:
        """Pass over it: the waiting goes on, or ends with the error."""


def write_images_file(
    path: Path, *, images: set[str], python: Path, root: Path, entry: Path, report: Path
) -> None:
    """Write the ``images.toml`` by which the local Dataflow plays the images without a network."""
    offline = resources.files("launcher.preflight.probes").joinpath("offline")
    env = {
        "FLEX_TEMPLATE_PYTHON_PY_FILE": str(entry.resolve()),
        "PYTHONPATH": str(offline),
        REPORT: str(report),
    }
    variables = ", ".join(f"{name} = {json.dumps(value)}" for name, value in env.items())
    entries = (
        f"[{json.dumps(image)}]\npython = {json.dumps(str(python.absolute()))}\n"
        f"workdir = {json.dumps(str(root.resolve()))}\nenv = {{ {variables} }}\n"
        for image in sorted(images)
    )
    path.write_text("\n".join(entries), encoding="utf-8")


def rehearse(config: LaunchConfig, spec: ContainerSpec, stage: Stage) -> list[Finding]:
    """Launch the template on the local Dataflow and return what went wrong or was slow.

    Blocks for at most the stage's two limits and some seconds.
    """
    findings: list[Finding] = []
    parameters = dict(config.parameters)
    samples = list(_localize(parameters, spec, stage.bucket))
    findings += samples
    if parameters.get("device") == "cuda":  # this machine stands for the launcher, not for a GPU
        parameters["device"] = "auto"
    stage.bucket.blob("spec.json").upload_from_string(format_spec(spec))
    local = replace(
        config,
        job_name="rehearsal",
        project=stage.dataflow.project,
        region=stage.dataflow.region,
        template_file_gcs_location=f"gs://{BUCKET}/spec.json",
        staging_location=f"gs://{BUCKET}/staging",
        temp_location=f"gs://{BUCKET}/temp",
        parameters=parameters,
        launch_timeout_sec=max(1, int(stage.launch_limit_sec)),
    )
    try:
        job = stage.dataflow.launch(build_launch_request(local, spec))
    except ServiceError as problem:
        return [*findings, error("rehearsal-launch", str(problem), "Correct the request.")]
    seen = _Seen()
    streaming = bool(spec.metadata and spec.metadata.streaming)
    limit = stage.launch_limit_sec + (0 if streaming or samples else stage.run_limit_sec) + 30
    failure: FlexpackError | None = None
    try:
        wait_for_job(
            stage.dataflow,
            job.id,
            timeout_sec=limit,
            poll_interval_sec=1.0,
            observer=seen,
            sleep=stage.sleep,
        )
    except JobTimeout as problem:
        stage.dataflow.cancel(job.id)
        failure = problem
    except JobFailed as problem:
        failure = problem
    findings += _judge_launch(stage, job.id, seen, failure)
    findings += _judge_report(stage)
    if seen.staged_after_sec is not None:
        findings += _judge_graph(stage, job.id)
        if not streaming and not samples:
            findings += _judge_run(stage, job.id, failure)
    return findings


def _localize(parameters: dict[str, str], spec: ContainerSpec, bucket: Bucket) -> Iterator[Finding]:
    """Bring what the parameters read to the local bucket, and let them write there."""
    declared = spec.metadata.parameters if spec.metadata else ()
    types = {parameter.name: parameter.param_type for parameter in declared}
    for name, value in list(parameters.items()):
        if types.get(name) in _WRITE_TYPES:
            parameters[name] = f"gs://{BUCKET}/written/{name}/rows"
        elif types.get(name) in _READ_TYPES:
            try:
                sample = read_sample(value)
            except NoSample as problem:
                yield warning(
                    "rehearsal-sample",
                    f"--parameters {name}: the launch is rehearsed without a sample: {problem}",
                    "Name an input that you may read, or a local file.",
                )
                continue
            blob = bucket.blob(f"read/{name}/{sample.name}")
            blob.upload_from_string(sample.content)
            parameters[name] = f"gs://{BUCKET}/{blob.name}"


def _judge_launch(
    stage: Stage, job_id: str, seen: _Seen, failure: FlexpackError | None
) -> Iterator[Finding]:
    if seen.staged_after_sec is None:
        diagnosis = diagnose(_errors(stage, job_id))
        known = diagnosis.failure
        reason = (diagnosis.traceback or diagnosis.evidence or str(failure)).rpartition("\n")[2]
        yield error(
            "rehearsal-launch",
            f"the launcher staged no job within {stage.launch_limit_sec:g} s or failed: {reason}"
            + (f" ({known.cause})" if known else ""),
            known.remedy if known else "Mend what the entry file says.",
        )
    elif seen.staged_after_sec > stage.launch_limit_sec * _SLOW_LAUNCH_SHARE:
        yield warning(
            "rehearsal-slow",
            f"the launcher took {seen.staged_after_sec:.0f} s of {stage.launch_limit_sec:g} s",
            "Build the pipeline without reading data or loading models.",
        )


def _judge_report(stage: Stage) -> Iterator[Finding]:
    notes = []
    if stage.report.is_file():
        lines = stage.report.read_text(encoding="utf-8").splitlines()
        notes = [json.loads(line) for line in lines]
    asked = sorted({note["network"] for note in notes if "network" in note})
    if asked:
        yield error(
            "rehearsal-network",
            f"the launcher or a worker wanted the network: {', '.join(asked[:5])}",
            "Install packages in the image, and let the pipeline read through Beam's sources.",
        )
    for note in notes:
        imports: Mapping[str, float] = note.get("imports", {})
        slow = {name: sec for name, sec in imports.items() if sec >= _SLOW_IMPORT_SEC}
        if slow:
            listed = ", ".join(f"{name} {sec:.0f} s" for name, sec in slow.items())
            yield warning(
                "rehearsal-slow",
                f"the launcher's imports are slow: {listed}",
                "Import on the workers what only they need.",
            )


def _judge_graph(stage: Stage, job_id: str) -> Iterator[Finding]:
    job_object = stage.bucket.blob(f"staging/template_launches/{job_id}/job_object")
    job: dict[str, Any] = json.loads(job_object.download_as_bytes())
    options = job.get("environment", {}).get("sdkPipelineOptions", {}).get("options", {})
    path = str(options.get("pipelineUrl") or options.get("pipeline_url") or "")
    content = stage.bucket.blob(path.removeprefix(f"gs://{BUCKET}/")).download_as_bytes()
    with tempfile.NamedTemporaryFile(suffix=".pb") as file:
        file.write(content)
        file.flush()
        try:
            graph = run_probe(
                "graph", [file.name], python=stage.python, root=Path.cwd(), timeout_sec=60
            )
        except ProbeError as problem:
            yield warning(
                "rehearsal-graph", f"the job's graph was not measured: {problem}", "See --python."
            )
            return
    if graph["bytes"] > _LARGEST_GRAPH_BYTES:
        yield error(
            "rehearsal-graph",
            f"the job's graph has {graph['bytes'] / 1e6:.0f} MB, and Dataflow takes "
            f"{_LARGEST_GRAPH_BYTES / 1e6:.0f}",
            "Read data and load models on the workers.",
        )
    for step, size in graph["steps"].items():
        if size > _LARGE_STEP_BYTES:
            yield warning(
                "rehearsal-step",
                f"step {step!r} carries {size / 1e6:.1f} MB to every worker",
                "Do not keep data or a model in an attribute of a DoFn: load it in setup.",
            )


def _judge_run(stage: Stage, job_id: str, failure: FlexpackError | None) -> Iterator[Finding]:
    if isinstance(failure, JobTimeout):
        yield warning(
            "rehearsal-run",
            f"the sample was not through after {stage.run_limit_sec:g} s",
            "Look for what is slow on a CPU, or name a smaller input.",
        )
    elif failure is not None:
        diagnosis = diagnose(_errors(stage, job_id))
        known = diagnosis.failure
        reason = (diagnosis.traceback or diagnosis.evidence or str(failure)).rpartition("\n")[2]
        yield error(
            "rehearsal-run",
            f"the pipeline failed on a sample of the input: {reason}",
            known.remedy if known else "Mend what it says.",
        )
    counts = RowCounts.from_metrics(stage.dataflow.metrics(job_id))
    if counts.dead_letters:
        yield warning(
            "rehearsal-dead-letters",
            f"{counts.dead_letters:,} of {counts.rows_read:,} rows of the sample could not be "
            f"predicted{_first_dead_letter(stage.bucket)}",
            "Look at the input, or at the model's predict.",
        )


def _first_dead_letter(bucket: Bucket) -> str:
    for blob in bucket.list_blobs(prefix="written/"):
        if "-errors" in blob.name:
            for line in blob.download_as_bytes().splitlines():
                return f"; the first: {json.loads(line)['error']:.300}"
    return ""


def _errors(stage: Stage, job_id: str) -> list[str]:
    found = stage.dataflow.messages(job_id, minimum_importance=MessageImportance.WARNING)
    return [message.message_text for message in found]
