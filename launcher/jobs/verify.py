"""Whether a launched job is what was asked for: GPUs, image, disk and machine type.

What a launch asks for can get lost on its way through template, launcher and service, and the job
then runs for hours on other machines. Compared as soon as the launcher has staged the job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from launcher.accelerators.catalogue import WORKER_ACCELERATOR
from launcher.errors import ServiceError
from launcher.finding import Finding, error, format_findings
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.image_reference import ImageReference
from launcher.jobs.dataflow import Dataflow
from launcher.jobs.errors import JobMismatch
from launcher.jobs.records import (
    Environment,
    Job,
    JobMessage,
    JobObserver,
    JobState,
    Metric,
    WorkerPool,
)

_REMEDY = "Correct the template, or what is asked for."
_GIVEN_UP = frozenset({JobState.FAILED, JobState.CANCELLING, JobState.CANCELLED})


@dataclass(frozen=True)
class Asked:
    """One thing that a launch asked for, and whether the job has it.

    Attributes:
        name: what it is.
        is_told: whether the job tells of it at all.
        mismatch: what the job has instead; None where it is the same, or not told.
    """

    name: str
    is_told: bool
    mismatch: Finding | None


def read_job_back(
    dataflow: Dataflow, job_id: str, asked: FlexTemplateRuntimeEnvironment
) -> tuple[Asked, ...]:
    """Compare a staged job with what was asked for, and cancel it if it is another.

    Blocks for one request, or two. Nothing is repeated that the client does not repeat.

    Args:
        asked: the launch's environment over the template's, ``request.environment_over(spec)``.

    Returns:
        What was asked for, each with what the job tells of it.

    Raises:
        JobMismatch: the job is another; it was cancelled, unless it had ended or the service
            refused, which the message says.
        ServiceError: Dataflow did not answer.
    """
    job = dataflow.get(job_id, view="JOB_VIEW_ALL")
    compared = tuple(compare_with_asked(job, asked))
    if findings := [item.mismatch for item in compared if item.mismatch]:
        raise JobMismatch(
            f"job {job.id} is not what was asked for, and {_end(dataflow, job)}.\n"
            f"{format_findings(findings)}",
            job,
        )
    return compared


def _end(dataflow: Dataflow, job: Job) -> str:
    """Cancel a job that still runs; return what became of it."""
    if job.current_state.is_terminal:
        return "has ended already"
    try:
        dataflow.cancel(job.id)
    except ServiceError as error:
        return f"goes on, because it could not be cancelled ({error})"
    return "was cancelled"


@dataclass
class ReadBack(JobObserver):
    """An observer that reads the job back once, and passes everything on to another one."""

    dataflow: Dataflow
    asked: FlexTemplateRuntimeEnvironment
    inner: JobObserver
    compared: tuple[Asked, ...] | None = field(default=None, init=False)

    def on_job(self, job: Job) -> None:
        """Read the job back, the first time that it is staged.

        Raises:
            JobMismatch: it is another than was asked for, and was cancelled.
        """
        self.inner.on_job(job)
        state = job.current_state
        if self.compared is None and state.is_staged and state not in _GIVEN_UP:
            self.compared = read_job_back(self.dataflow, job.id, self.asked)

    def on_message(self, message: JobMessage) -> None:
        """Pass it on."""
        self.inner.on_message(message)

    def on_metrics(self, metrics: Sequence[Metric]) -> None:
        """Pass it on."""
        self.inner.on_metrics(metrics)

    def on_outage(self, error: ServiceError) -> None:
        """Pass it on."""
        self.inner.on_outage(error)


def compare_with_asked(job: Job, asked: FlexTemplateRuntimeEnvironment) -> Iterator[Asked]:
    """Yield what was asked for, each compared with what the job tells."""
    environment = job.environment or Environment()
    pools = environment.worker_pools
    pool = pools[0] if pools else WorkerPool()
    told = list(_read_options(environment))
    for experiment in asked.additional_experiments:
        if experiment.startswith(f"{WORKER_ACCELERATOR}="):
            mismatch = error(
                "job-accelerator",
                f"asked for {experiment}, and the job has no such option: its workers would have "
                "no GPU",
                _REMEDY,
            )
            yield Asked(
                "accelerator", bool(told), mismatch if told and experiment not in told else None
            )
    if machine_type := asked.machine_type:
        mismatch = error(
            "job-machine",
            f"asked for {machine_type}, and the workers are {pool.machine_type}",
            _REMEDY,
        )
        is_same = pool.machine_type in ("", machine_type)
        yield Asked("machine type", bool(pool.machine_type), None if is_same else mismatch)
    if disk_size_gb := asked.disk_size_gb:
        mismatch = error(
            "job-disk",
            f"asked for disks of {disk_size_gb} GB, and the workers' have "
            f"{pool.disk_size_gb or 'the default size'}",
            "Let the template set disk_size_gb in its own options.",
        )
        is_same = pool.disk_size_gb == disk_size_gb or not pools
        yield Asked("disk", bool(pools), None if is_same else mismatch)
    if wanted := asked.sdk_container_image:
        images = {image.container_image for image in pool.sdk_harness_container_images} - {""}
        mismatch = error(
            "job-image",
            f"asked for the image {wanted}, and the workers run {', '.join(sorted(images))}",
            _REMEDY,
        )
        is_same = not images or any(_is_same_image(image, wanted) for image in images)
        yield Asked("image", bool(images), None if is_same else mismatch)


def format_compared(compared: Sequence[Asked]) -> str:
    """Return in one sentence what a job that is as asked was compared by."""
    told = [item.name for item in compared if item.is_told]
    untold = [item.name for item in compared if not item.is_told]
    sentences = [f"As asked for: {', '.join(told)}."] if told else []
    sentences += [f"The job tells nothing of: {', '.join(untold)}."] if untold else []
    return " ".join(sentences) or "Nothing was asked for that could be compared."


def _read_options(environment: Environment) -> Iterator[str]:
    """Yield experiments and service options, wherever the job tells them."""
    yield from environment.experiments
    yield from environment.service_options
    options = environment.sdk_pipeline_options.get("options", {})
    for name in ("experiments", "dataflow_service_options"):
        value = options.get(name)
        yield from value if isinstance(value, list) else []


def _is_same_image(told: str, wanted: str) -> bool:
    """Tell whether two names may be of one image: the service may tell the digest of a tag."""
    one, other = ImageReference.parse(told), ImageReference.parse(wanted)
    if (one.host, one.path) != (other.host, other.path):
        return False
    if one.digest and other.digest:
        return one.digest == other.digest
    if one.digest or other.digest:
        return True
    return (one.tag or "latest") == (other.tag or "latest")
