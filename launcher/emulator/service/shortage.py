"""Jobs that fail because Google has no machines for them, or the project no quota: what they say.

The local Dataflow is never short of either; its faults play it. The job is accepted and fails when
its workers should start, whose pool's error is all that it leaves.
https://cloud.google.com/dataflow/docs/guides/common-errors#worker-pool-failure
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_ACCELERATOR = re.compile(
    r"\bworker_accelerator=.*?\btype:nvidia-(tesla-)?(?P<model>a100-80gb|[a-z0-9-]+?)(-80gb)?(;|$)",
    re.MULTILINE,
)


def no_capacity(runtime_environment: Mapping[str, Any], *, project_id: str, region: str) -> str:
    """Return the error of a worker pool whose zone has no such machine or GPU left.

    Args:
        runtime_environment: the launch's ``FlexTemplateRuntimeEnvironment``.
        project_id: the launch's.
        region: the launch's.
    """
    zone = _find_zone(runtime_environment, region)
    return (
        f"{_startup_failed(runtime_environment, zone)} "
        "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS: The zone "
        f"'projects/{project_id}/zones/{zone}' does not have enough resources available to "
        "fulfill the request.  '(resource type:compute)'."
    )


def no_quota(runtime_environment: Mapping[str, Any], *, region: str) -> str:
    """Return the error of a worker pool for which the project's quota does not suffice.

    Args:
        runtime_environment: the launch's ``FlexTemplateRuntimeEnvironment``.
        region: the launch's.
    """
    zone = _find_zone(runtime_environment, region)
    # UNCONFIRMED: that Compute Engine's words, which are certain, follow those of the worker pool,
    # and that an exhausted quota of GPUs comes before that of CPUs. The limit is made up.
    return (
        f"{_startup_failed(runtime_environment, zone)} "
        "QUOTA_EXCEEDED: Instance creation failed: Quota "
        f"'{_find_quota_metric(runtime_environment)}' exceeded.  Limit: 0.0 in region "
        f"{zone.rpartition('-')[0]}."
    )


def _startup_failed(runtime_environment: Mapping[str, Any], zone: str) -> str:
    workers = runtime_environment.get("numWorkers", 1)
    return (
        f"Startup of the worker pool in zone {zone} failed to bring up any of the desired "
        f"{workers} workers."
    )


def _find_zone(runtime_environment: Mapping[str, Any], region: str) -> str:
    # UNCONFIRMED: which zone the service picks if none is requested. Every region has a "b".
    zone: str | None = runtime_environment.get("workerZone")
    return zone or f"{runtime_environment.get('workerRegion', region)}-b"


def _find_quota_metric(runtime_environment: Mapping[str, Any]) -> str:
    """Return the quota that counts the requested GPUs, or the one for CPUs if there are none."""
    fields = ("additionalExperiments", "additionalPipelineOptions")
    options = "\n".join(option for field in fields for option in runtime_environment.get(field, ()))
    requested = _ACCELERATOR.search(options)
    # https://cloud.google.com/compute/resource-usage#gpu_quota; of H100 it names no memory.
    return f"NVIDIA_{requested['model'].replace('-', '_').upper()}_GPUS" if requested else "CPUS"
