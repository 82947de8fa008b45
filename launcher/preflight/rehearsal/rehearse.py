"""The rehearsal runs the real launcher phase, and a sample of the input through the pipeline.

Runs on a local Dataflow that the caller has started, with the user's interpreter and modules in
place of the image, the network off and a time limit. Nothing leaves this machine; only the sample
is read from the real input. It cannot test the image itself, the GPU or the machines.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.errors import FlexpackError, ServiceError
from launcher.finding import REHEARSAL_LAUNCH, REHEARSAL_SAMPLE, Finding, error, warning
from launcher.jobs.errors import JobFailed, JobTimeout
from launcher.jobs.records import (
    Job,
    JobMessage,
    JobObserver,
    JobState,
    Metric,
    Milestone,
    RowCounts,
)
from launcher.jobs.waiting import wait_for_job
from launcher.launch.options import LaunchConfig
from launcher.launch.request import build_launch_request
from launcher.package.spec import ContainerSpec, format_spec
from launcher.preflight.rehearsal.sample import NoSample, read_sample
from launcher.preflight.rehearsal.stage import BUCKET, REPORT, Played, Rehearsal, Stage
from launcher.preflight.rehearsal.verdict import Verdict

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

_READ_TYPES = frozenset({"GCS_READ_FILE", "GCS_READ_FOLDER", "GCS_READ_BUCKET"})
_WRITE_TYPES = frozenset({"GCS_WRITE_FILE", "GCS_WRITE_FOLDER", "GCS_WRITE_BUCKET"})


@dataclass
class _Watch(JobObserver):
    """Observes the job: records when it is staged, and drains it after its last message."""

    stage: Stage
    job_id: str
    started: float = field(default_factory=time.monotonic)
    staged_after_sec: float | None = None
    replies: list[bytes] = field(default_factory=list)
    is_drained: bool = False

    def on_job(self, job: Job) -> None:
        if job.current_state.is_staged and job.current_state is not JobState.FAILED:
            self._note_staged()

    def on_message(self, message: JobMessage) -> None:
        """Record what only a staged job reports, because it may fail before the next poll."""
        if message.message_text.startswith(("Starting ", "Workflow failed")):
            self._note_staged()

    def on_metrics(self, metrics: Sequence[Metric]) -> None:
        """Drain a streaming job that has answered every message."""
        if not self.stage.messages or self.is_drained or self.stage.topics is None:
            return
        self.replies = self.stage.topics.take_replies()
        counts = RowCounts.from_metrics(metrics)
        answered = max(len(self.replies), counts.predictions + counts.dead_letters)
        if answered >= len(self.stage.messages):
            self.stage.dataflow.drain(self.job_id)
            self.is_drained = True

    def _note_staged(self) -> None:
        if self.staged_after_sec is None:
            self.staged_after_sec = time.monotonic() - self.started


def write_images_file(
    path: Path, *, images: set[str], python: Path, root: Path, entry: Path, report: Path
) -> None:
    """Write the ``images.toml`` with which the local Dataflow runs the images without a network."""
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


def rehearse(config: LaunchConfig, spec: ContainerSpec, stage: Stage) -> Rehearsal:
    """Launch the template on the local Dataflow, and return what failed or was slow.

    Blocks for at most the stage's two limits and some seconds.
    """
    parameters = dict(config.parameters)
    unsampled = [*_localize_files(parameters, spec, stage.bucket)]
    unsampled += _localize_topics(parameters, spec, stage)
    # this machine can stand in for the launcher, but not for a GPU
    if parameters.get("device") == "cuda":
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
        refused = error(REHEARSAL_LAUNCH, str(problem), "Correct the request.")
        return Rehearsal([*unsampled, refused])
    verdict = Verdict(stage, _play(stage, job.id, has_sample=not unsampled))
    return Rehearsal([*unsampled, *verdict.findings], verdict.figures)


def _play(stage: Stage, job_id: str, *, has_sample: bool) -> Played:
    """Wait for the launcher and, with a sample, for the job; then stop what still runs."""
    watch = _Watch(stage, job_id)
    steps = [(Milestone.STAGED, stage.launch_limit_sec + 30)]
    if has_sample:
        steps.append((Milestone.ENDED, stage.run_limit_sec))
    failure: FlexpackError | None = None
    for until, limit_sec in steps:
        try:
            job = wait_for_job(
                stage.dataflow,
                job_id,
                until=until,
                timeout_sec=limit_sec,
                poll_interval_sec=1.0,
                observer=watch,
                sleep=stage.sleep,
            )
        except (JobFailed, JobTimeout) as problem:
            failure, job = problem, problem.job
            break
    if not job.current_state.is_terminal:
        stage.dataflow.cancel(job_id)
    return Played(
        job_id=job_id,
        staged_after_sec=watch.staged_after_sec,
        has_sample=has_sample,
        failure=failure,
        replies=watch.replies,
    )


def _localize_files(
    parameters: dict[str, str], spec: ContainerSpec, bucket: Bucket
) -> Iterator[Finding]:
    """Copy the inputs to the local bucket, and redirect the outputs there."""
    types = _find_types(spec)
    for name, value in list(parameters.items()):
        if types.get(name) in _WRITE_TYPES:
            parameters[name] = f"gs://{BUCKET}/written/{name}/rows"
        elif types.get(name) in _READ_TYPES:
            try:
                sample = read_sample(value)
            except NoSample as problem:
                yield warning(
                    REHEARSAL_SAMPLE,
                    f"--parameters {name}: the launch is rehearsed without a sample: {problem}",
                    "Name an input that you can read, or a local file.",
                )
                continue
            blob = bucket.blob(f"read/{name}/{sample.name}")
            blob.upload_from_string(sample.content)
            parameters[name] = f"gs://{BUCKET}/{blob.name}"
        elif value.startswith("gs://"):
            # Any other path is redirected to the empty bucket, so that the job finds nothing
            # instead of failing.
            parameters[name] = f"gs://{BUCKET}/elsewhere/{value.removeprefix('gs://')}"


def _localize_topics(
    parameters: dict[str, str], spec: ContainerSpec, stage: Stage
) -> Iterator[Finding]:
    """Redirect the job's subscriptions and topics to those of the stage."""
    types = _find_types(spec)
    read = [name for name in parameters if types.get(name) == "PUBSUB_SUBSCRIPTION"]
    if not read and not (spec.metadata and spec.metadata.streaming):
        return
    if stage.topics is None:
        yield warning(
            REHEARSAL_SAMPLE,
            "only the launcher is rehearsed: Google's Pub/Sub emulator, which gives a streaming "
            "job its messages, is not installed",
            "gcloud components install pubsub-emulator, or apt-get install "
            "google-cloud-cli-pubsub-emulator; it needs Java.",
        )
        return
    if not stage.messages or not read:
        yield warning(
            REHEARSAL_SAMPLE,
            "only the launcher is rehearsed: the streaming job has no messages to read",
            "Name some with --sample: a file with one JSON message per line, or image files."
            if read
            else "Declare the subscription's parameter as PUBSUB_SUBSCRIPTION.",
        )
    for name, value in list(parameters.items()):
        if types.get(name) == "PUBSUB_SUBSCRIPTION":
            parameters[name] = stage.topics.publish(name, stage.messages)
        elif types.get(name) == "PUBSUB_TOPIC" and value:
            parameters[name] = stage.topics.listen(name)


def _find_types(spec: ContainerSpec) -> dict[str, str]:
    declared = spec.metadata.parameters if spec.metadata else ()
    return {parameter.name: parameter.param_type or "" for parameter in declared}
