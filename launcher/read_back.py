"""Whether a launched job is what was asked for: GPUs, image, disk and machine type.

What a launch asks for can get lost on its way through template, launcher and service, and the job
then runs for hours on other machines. Compared as soon as the launcher has staged the job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from launcher.accelerators import WORKER_ACCELERATOR
from launcher.environment import FlexTemplateRuntimeEnvironment
from launcher.errors import JobMismatch, ServiceError
from launcher.jobs import Job, JobMessage, JobObserver, JobState, Metric
from launcher.preflight.finding import Finding, error, format_findings

if TYPE_CHECKING:
    from launcher.dataflow import Dataflow

_CANCEL = "The job was cancelled; nothing is billed further."
_STAGED = frozenset(
    {JobState.PENDING, JobState.RUNNING, JobState.DRAINING, JobState.RESOURCE_CLEANING_UP}
)


@dataclass
class ReadBack(JobObserver):
    """An observer that compares the job once, and passes everything on to another one."""

    dataflow: Dataflow
    asked: FlexTemplateRuntimeEnvironment
    inner: JobObserver
    is_done: bool = False

    def on_job(self, job: Job) -> None:
        """Compare the job, the first time that it is staged.

        Raises:
            JobMismatch: it is another than was asked for, and was cancelled.
        """
        self.inner.on_job(job)
        if self.is_done or job.current_state not in _STAGED:
            return
        found = self.dataflow.get(job.id, view="JOB_VIEW_ALL")
        findings = list(compare_with_asked(found, self.asked))
        self.is_done = True
        if findings:
            self.dataflow.cancel(job.id)
            raise JobMismatch(
                f"job {job.id} is not what was asked for, and was cancelled.\n"
                f"{format_findings(findings)}",
                found,
            )

    def on_message(self, message: JobMessage) -> None:
        """Pass it on."""
        self.inner.on_message(message)

    def on_metrics(self, metrics: Sequence[Metric]) -> None:
        """Pass it on."""
        self.inner.on_metrics(metrics)

    def on_outage(self, error: ServiceError) -> None:
        """Pass it on."""
        self.inner.on_outage(error)


def compare_with_asked(job: Job, asked: FlexTemplateRuntimeEnvironment) -> Iterator[Finding]:
    """Yield what of a staged job is not as asked; what the job does not tell passes.

    Args:
        asked: the launch's environment over the template's.
    """
    environment = job.environment
    if environment is None:
        return
    told = [*environment.experiments, *environment.service_options]
    for option in ("experiments", "dataflow_service_options"):
        value = environment.sdk_pipeline_options.get("options", {}).get(option)
        told += value if isinstance(value, list) else []
    for experiment in asked.additional_experiments:
        if experiment.startswith(f"{WORKER_ACCELERATOR}=") and told and experiment not in told:
            yield error(
                "job-accelerator",
                f"asked for {experiment}, and the job has no such option: its workers would have "
                "no GPU",
                _CANCEL,
            )
    if not environment.worker_pools:
        return
    pool = environment.worker_pools[0]
    if asked.machine_type and pool.machine_type and pool.machine_type != asked.machine_type:
        yield error(
            "job-machine",
            f"asked for {asked.machine_type}, and the workers are {pool.machine_type}",
            _CANCEL,
        )
    if asked.disk_size_gb and pool.disk_size_gb != asked.disk_size_gb:
        yield error(
            "job-disk",
            f"asked for disks of {asked.disk_size_gb} GB, and the workers' have "
            f"{pool.disk_size_gb or 'the default size'}",
            _CANCEL + " Let the template set disk_size_gb in its own options.",
        )
    images = {image.container_image for image in pool.sdk_harness_container_images} - {""}
    wanted = asked.sdk_container_image
    if wanted and images and all(_repository(image) != _repository(wanted) for image in images):
        yield error(
            "job-image",
            f"asked for the image {wanted}, and the workers run {', '.join(sorted(images))}",
            _CANCEL,
        )


def _repository(image: str) -> str:
    """Return an image without tag and digest, which the service may replace by one another."""
    name = image.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}"
