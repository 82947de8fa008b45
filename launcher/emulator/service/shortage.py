"""The messages of jobs that fail because Google has no machines or the project has no quota.

The local Dataflow never lacks either; its faults simulate it. The job is accepted, and fails with
its worker pool's error when workers should start.
https://cloud.google.com/dataflow/docs/guides/common-errors#worker-pool-failure
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from launcher.emulator.runtime.events import Importance
from launcher.emulator.runtime.staging import default_zone

_ACCELERATOR = re.compile(
    r"\bworker_accelerator=.*?\btype:nvidia-(tesla-)?(?P<model>a100-80gb|[a-z0-9-]+?)(-80gb)?(;|$)",
    re.MULTILINE,
)


def messages(
    is_quota: bool,
    runtime_environment: Mapping[str, Any],
    *,
    project_id: str,
    region: str,
    job_name: str,
) -> Iterator[tuple[Importance, str | None]]:
    """Yield such a job's messages, in order; None marks that it becomes RUNNING.

    Args:
        is_quota: whether the quota is used up; otherwise the zone has no such machine or GPU left.
        runtime_environment: the launch's ``FlexTemplateRuntimeEnvironment``.
        project_id: the launch's.
        region: the launch's.
        job_name: the launch's; instances are named after it.
    """
    zone = _find_zone(runtime_environment, region)
    workers = runtime_environment.get("numWorkers", 1)
    yield Importance.DEBUG, "Starting worker pool setup."
    yield Importance.BASIC, f"Starting {workers} workers in {zone.rpartition('-')[0]}..."
    yield Importance.BASIC, None
    describe = _no_quota if is_quota else _no_capacity
    for text in describe(runtime_environment, zone, project_id=project_id, job_name=job_name):
        yield Importance.ERROR, text
    yield Importance.DETAILED, "Cleaning up."
    yield Importance.DEBUG, "Starting worker pool teardown."
    yield Importance.BASIC, "Stopping worker pool..."
    yield Importance.BASIC, "Worker pool stopped."
    yield Importance.DEBUG, "Tearing down pending resources..."


def _no_capacity(
    runtime_environment: Mapping[str, Any], zone: str, *, project_id: str, job_name: str
) -> Iterator[str]:
    # As recorded in 2026, except the instance's name, which has the same form.
    yield (
        f"{_startup_failed(runtime_environment, zone)} ZONE_RESOURCE_POOL_EXHAUSTED: Instance "
        f"'{job_name}-harness-0000' creation failed: The zone "
        f"'projects/{project_id}/zones/{zone}' does not have enough resources available to "
        "fulfill the request. Try a different zone, or try again later."
    )


def _no_quota(
    runtime_environment: Mapping[str, Any], zone: str, *, project_id: str, job_name: str
) -> Iterator[str]:
    # UNCONFIRMED: that Compute Engine's words, which are certain, follow the worker pool's, and
    # that an exhausted GPU quota comes before that of CPUs. The limit is made up.
    region = zone.rpartition("-")[0]
    metric = _find_quota_metric(runtime_environment)
    yield (
        f"{_startup_failed(runtime_environment, zone)} QUOTA_EXCEEDED: Instance "
        f"'{job_name}-harness-0000' creation failed: Quota '{metric}' exceeded.  Limit: 0.0 in "
        f"region {region}."
    )
    # "has insufficient quota(s) to execute this workflow" is what diagnosis tools look for.
    workers = runtime_environment.get("numWorkers", 1)
    yield (
        f"Workflow failed. Causes: Project {project_id} has insufficient quota(s) to execute this "
        f"workflow with {workers} instances in region {region}. Quota summary "
        f"(required/available): {workers}/0 {metric}."
    )


def _startup_failed(runtime_environment: Mapping[str, Any], zone: str) -> str:
    workers = runtime_environment.get("numWorkers", 1)
    return (
        f"Startup of the worker pool in {zone.rpartition('-')[0]} failed to bring up any of the "
        f"desired {workers} workers. Please refer to "
        "https://cloud.google.com/dataflow/docs/guides/common-errors#worker-pool-failure for help "
        "troubleshooting."
    )


def _find_zone(runtime_environment: Mapping[str, Any], region: str) -> str:
    zone: str | None = runtime_environment.get("workerZone")
    return zone or default_zone(runtime_environment.get("workerRegion", region))


def _find_quota_metric(runtime_environment: Mapping[str, Any]) -> str:
    """Return the quota that counts the requested GPUs, or the one for CPUs if there are none."""
    fields = ("additionalExperiments", "additionalPipelineOptions")
    options = "\n".join(option for field in fields for option in runtime_environment.get(field, ()))
    requested = _ACCELERATOR.search(options)
    # https://cloud.google.com/compute/resource-usage#gpu_quota; for H100 it does not name the
    # memory.
    return f"NVIDIA_{requested['model'].replace('-', '_').upper()}_GPUS" if requested else "CPUS"
