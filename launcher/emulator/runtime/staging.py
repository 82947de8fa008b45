"""Copies the objects that a submitted job refers to from Cloud Storage, for its processes.

A ``Job`` names its pipeline (``sdkPipelineOptions.options.pipelineUrl``) and the packages of its
workers (``workerPools[].packages``), which on Dataflow the worker's boot program downloads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from launcher.emulator.runtime.errors import WorkflowFailedError
from launcher.emulator.storage.errors import NotFound
from launcher.emulator.storage.store import ObjectStore

_GS = "gs://"
# https://cloud.google.com/dataflow/docs/reference/pipeline-options#worker-level_options
_DEFAULT_MACHINE_TYPE = "n1-standard-1"
DEFAULT_REGION = "us-central1"
_BATCH_DISK_GB, _STREAMING_DISK_GB = 250, 400
_STORAGE_HOST = "storage.googleapis.com/"  # How Beam writes the location of a package.


def split_gs_url(url: str) -> tuple[str, str]:
    """Return bucket and object name of a ``gs://`` URL.

    Raises:
        ValueError: it is not one.
    """
    bucket, _, name = url.removeprefix(_GS).partition("/")
    if not url.startswith(_GS) or not bucket or not name:
        raise ValueError(f"{url!r} is not of the form gs://bucket/object")
    return bucket, name


def pipeline_options(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the pipeline options that a ``Job`` carries."""
    options: Mapping[str, Any] = (
        job.get("environment", {}).get("sdkPipelineOptions", {}).get("options", {})
    )
    return options


def worker_images(job: Mapping[str, Any]) -> frozenset[str]:
    """Return the container images of a job's workers."""
    return frozenset(
        image["containerImage"]
        for pool in _worker_pools(job)
        for image in pool.get("sdkHarnessContainerImages", [])
    ) or frozenset(
        pool["workerHarnessContainerImage"]
        for pool in _worker_pools(job)
        if "workerHarnessContainerImage" in pool
    )


def machine_type(job: Mapping[str, Any]) -> str:
    """Return the machine type that a job requests, or Dataflow's default."""
    requested = next(
        (pool["machineType"] for pool in _worker_pools(job) if pool.get("machineType")), ""
    )
    return requested or _DEFAULT_MACHINE_TYPE


def worker_region(job: Mapping[str, Any]) -> str:
    """Return the region of a job's workers."""
    options = pipeline_options(job)
    return options.get("worker_region") or options.get("region") or DEFAULT_REGION


def worker_zone(job: Mapping[str, Any]) -> str:
    """Return the zone of a job's workers."""
    options = pipeline_options(job)
    return options.get("worker_zone") or options.get("zone") or default_zone(worker_region(job))


def default_zone(region: str) -> str:
    """Return the zone of workers if none is requested.

    UNCONFIRMED: which one the service picks. Every region has a "b".
    """
    return f"{region}-b"


def disk_size_gb(job: Mapping[str, Any]) -> int:
    """Return the size of the disk that a job requests for each worker, or Dataflow's default."""
    requested = next(
        (pool["diskSizeGb"] for pool in _worker_pools(job) if pool.get("diskSizeGb")), 0
    )
    is_streaming = job.get("type") == "JOB_TYPE_STREAMING"
    return requested or (_STREAMING_DISK_GB if is_streaming else _BATCH_DISK_GB)


def fetch_pipeline(job: Mapping[str, Any], store: ObjectStore, path: Path) -> None:
    """Write the job's pipeline proto to ``path``.

    Raises:
        WorkflowFailedError: the job names none, or there is no such object.
    """
    url = pipeline_options(job).get("pipelineUrl")
    if not url:
        raise WorkflowFailedError(
            "the job has no environment.sdkPipelineOptions.options.pipelineUrl: "
            "it was not made by a Beam SDK with portable job submission."
        )
    path.write_bytes(_read(store, url))


def fetch_packages(job: Mapping[str, Any], store: ObjectStore, folder: Path) -> list[str]:
    """Write the packages of the job's workers into ``folder``; return their names.

    Raises:
        WorkflowFailedError: one has a bad name, or there is no such object.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for package in (found for pool in _worker_pools(job) for found in pool.get("packages", [])):
        name = package["name"]
        if name != Path(name).name:
            raise WorkflowFailedError(f"the package name {name!r} is not a file name.")
        location = _GS + package["location"].removeprefix(_STORAGE_HOST).removeprefix(_GS)
        (folder / name).write_bytes(_read(store, location))
        names.append(name)
    return names


def _worker_pools(job: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from job.get("environment", {}).get("workerPools", [])


def _read(store: ObjectStore, url: str) -> bytes:
    try:
        return store.read(*split_gs_url(url))
    except ValueError as error:
        raise WorkflowFailedError(f"the job refers to {error}.") from error
    except NotFound as error:
        raise WorkflowFailedError(f"the job refers to {url}, which does not exist.") from error
