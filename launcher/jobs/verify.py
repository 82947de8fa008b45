"""Verify that a launched job matches its request: GPUs, image, disk and machine type.

Parts of a request can get lost between template, launcher and service, and the job then runs for
hours on the wrong machines. The comparison is made as soon as the launcher has staged the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from launcher.accelerators.catalogue import WORKER_ACCELERATOR
from launcher.errors import ServiceError
from launcher.finding import (
    JOB_ACCELERATOR,
    JOB_DISK,
    JOB_IMAGE,
    JOB_MACHINE,
    Finding,
    error,
    format_findings,
)
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.image_reference import ImageReference
from launcher.jobs.dataflow import Dataflow
from launcher.jobs.errors import JobMismatch
from launcher.jobs.records import Environment, Job, WorkerPool

_REMEDY = "Correct the template or the request."


@dataclass(frozen=True)
class Comparison:
    """One item of a request, and whether the job has it.

    Attributes:
        name: what it is.
        is_reported: whether the job reports it at all.
        mismatch: what the job has instead; None if they agree, or the job does not report it.
    """

    name: str
    is_reported: bool
    mismatch: Finding | None


def verify_job(
    dataflow: Dataflow, job_id: str, requested: FlexTemplateRuntimeEnvironment
) -> tuple[Comparison, ...]:
    """Compare a staged job with its request, and cancel it if it differs.

    Blocks for one or two requests. Retries only what the client retries.

    Args:
        requested: the launch's environment over the template's, ``request.environment_over(spec)``.

    Returns:
        Each requested item, compared with the job's.

    Raises:
        JobMismatch: the job differs; it was cancelled, unless it had ended or the service refused,
            which the message says.
        ServiceError: Dataflow did not answer.
    """
    job = dataflow.get(job_id, view="JOB_VIEW_ALL")
    comparisons = tuple(compare_job(job, requested))
    if findings := [item.mismatch for item in comparisons if item.mismatch]:
        raise JobMismatch(
            f"job {job.id} differs from the request, and {_cancel(dataflow, job)}.\n"
            f"{format_findings(findings)}",
            job,
        )
    return comparisons


def _cancel(dataflow: Dataflow, job: Job) -> str:
    """Cancel a job that still runs; return the outcome."""
    if job.current_state.is_terminal:
        return "has ended already"
    try:
        dataflow.cancel(job.id)
    except ServiceError as error:
        return f"continues, because it could not be cancelled ({error})"
    return "was cancelled"


def compare_job(job: Job, requested: FlexTemplateRuntimeEnvironment) -> Iterator[Comparison]:
    """Yield each requested item, compared with the job's."""
    environment = job.environment or Environment()
    pools = environment.worker_pools
    pool = pools[0] if pools else WorkerPool()
    reported = set(_find_accelerators(_read_options(environment)))
    for accelerator in _find_accelerators(requested.additional_experiments):
        mismatch = error(
            JOB_ACCELERATOR,
            f"requested {_join(accelerator)}, but the workers have "
            f"{', '.join(sorted(map(_join, reported)))}",
            _REMEDY,
        )
        is_same = not reported or accelerator in reported
        yield Comparison("accelerator", bool(reported), None if is_same else mismatch)
    if machine_type := requested.machine_type:
        mismatch = error(
            JOB_MACHINE,
            f"requested {machine_type}, but the workers are {pool.machine_type}",
            _REMEDY,
        )
        is_same = pool.machine_type.rpartition("/")[2] in ("", machine_type)
        yield Comparison("machine type", bool(pool.machine_type), None if is_same else mismatch)
    if disk_size_gb := requested.disk_size_gb:
        mismatch = error(
            JOB_DISK,
            f"requested disks of {disk_size_gb} GB, but the workers' have {pool.disk_size_gb}",
            "Let the template set disk_size_gb in its own options.",
        )
        is_same = pool.disk_size_gb in (0, disk_size_gb)
        yield Comparison("disk", bool(pool.disk_size_gb), None if is_same else mismatch)
    if image := requested.sdk_container_image:
        images = {each.container_image for each in pool.sdk_harness_container_images} - {""}
        mismatch = error(
            JOB_IMAGE,
            f"requested the image {image}, but the workers run {', '.join(sorted(images))}",
            _REMEDY,
        )
        is_same = not images or any(_is_same_image(each, image) for each in images)
        yield Comparison("image", bool(images), None if is_same else mismatch)


def format_comparisons(comparisons: Sequence[Comparison]) -> str:
    """Return in one or two sentences what was compared in a verified job."""
    reported = [item.name for item in comparisons if item.is_reported]
    unreported = [item.name for item in comparisons if not item.is_reported]
    sentences = [f"The job has what was requested: {', '.join(reported)}."] if reported else []
    sentences += [f"The job does not report: {', '.join(unreported)}."] if unreported else []
    return " ".join(sentences) or "The request contains nothing that could be compared."


def _read_options(environment: Environment) -> Iterator[str]:
    """Yield experiments and service options, wherever the job reports them."""
    yield from environment.experiments
    yield from environment.service_options
    options = environment.options
    for name in ("experiments", "dataflow_service_options"):
        value = options.get(name)
        yield from value if isinstance(value, list) else []


def _find_accelerators(options: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield type and count of each accelerator among options, in any wording.

    ``worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver`` is one: its parts have no
    order, and the service may report another driver than the one that was requested.
    """
    for option in options:
        name, _, value = option.partition("=")
        if name.strip() == WORKER_ACCELERATOR:
            parts = dict(part.strip().partition(":")[::2] for part in value.split(";"))
            if "type" in parts:
                yield parts["type"], parts.get("count") or "1"


def _join(accelerator: tuple[str, str]) -> str:
    return ":".join(accelerator)


def _is_same_image(reported: str, requested: str) -> bool:
    """Return whether two names may mean one image: the service may report a tag's digest."""
    one, other = ImageReference.parse(reported), ImageReference.parse(requested)
    if (one.host, one.path) != (other.host, other.path):
        return False
    if one.digest and other.digest:
        return one.digest == other.digest
    if one.digest or other.digest:
        return True
    return (one.tag or "latest") == (other.tag or "latest")
