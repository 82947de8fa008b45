"""Check that the region's quotas are enough for all workers."""

from __future__ import annotations

from collections.abc import Iterator

from launcher.accelerators.catalogue import count_vcpus, load_catalogue
from launcher.finding import QUOTA_SHORT, Finding, error
from launcher.preflight.accelerator import find_accelerator
from launcher.preflight.live.cloud import Cloud, Unanswered
from launcher.preflight.live.image import DEFAULT_DISK_GB
from launcher.preflight.subject import Launch

# Families whose vCPUs count against CPUS; the GPU families have metrics of their own.
_COUNTED_IN_CPUS = ("n1-", "e2-", "custom-")


def check_quotas(cloud: Cloud, launch: Launch) -> Iterator[Finding]:
    """Yield the quotas that ``--max-workers`` exceeds."""
    environment = launch.environment
    region = environment.worker_region or launch.region
    answer = cloud.ask(
        "compute", lambda api: api.regions().get(project=launch.project, region=region)
    )
    quotas = {str(quota.get("metric")): quota for quota in answer.get("quotas", ())}
    workers = environment.max_workers or environment.num_workers or 1
    unknown = []
    for metric, needed in _needs(launch, workers).items():
        quota = quotas.get(metric)
        if quota is None:
            unknown.append(metric)
            continue
        limit, usage = float(quota.get("limit", 0)), float(quota.get("usage", 0))
        if needed > limit - usage:
            yield error(
                QUOTA_SHORT,
                f"--max-workers {workers}: needs {needed:g} {metric} in {region}, but {usage:g} "
                f"of {limit:g} {'is' if usage == 1 else 'are'} already in use",
                "Lower --max-workers, request more quota, or add --fallback region=REGION.",
            )
    if unknown:
        raise Unanswered(f"{region} reports no quota for {', '.join(unknown)}")


def _needs(launch: Launch, workers: int) -> dict[str, float]:
    environment = launch.environment
    needs: dict[str, float] = {
        "DISKS_TOTAL_GB": workers * (environment.disk_size_gb or DEFAULT_DISK_GB)
    }
    accelerator = find_accelerator(environment, launch.parameters)
    gpu = load_catalogue().find(accelerator.type) if accelerator else None
    if accelerator and gpu:
        needs[gpu.quota_metric] = workers * accelerator.count
    machine = environment.machine_type or ""
    if machine.startswith(_COUNTED_IN_CPUS):
        needs["CPUS"] = workers * (count_vcpus(machine) or 1)
    if environment.ip_configuration != "WORKER_IP_PRIVATE":
        needs["IN_USE_ADDRESSES"] = workers
    return needs
