"""The service's own metrics of a job: its workers' CPU, memory and disk.

Computed from the number of workers over time and the requested machines; a worker's real usage is
not measured.

UNCONFIRMED: the machine of a job that requests none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.emulator.runtime.staging import disk_size_gb, machine_type

_CPUS = re.compile(r"-(\d+)$")
_MEMORY_MB_PER_CPU = {"n1": 3840}
_DEFAULT_MEMORY_MB_PER_CPU = 4096


@dataclass(frozen=True, kw_only=True)
class WorkerCount:
    """A job's number of workers from a certain time; ``seconds`` since the epoch."""

    seconds: float
    time: str
    count: int
    text: str


def service_metrics(
    job: Mapping[str, Any], counts: Sequence[WorkerCount], *, now: float, now_text: str
) -> list[dict[str, Any]]:
    """Return the ``MetricUpdate`` records; none before the first worker."""
    if not counts:
        return []
    ends = [count.seconds for count in counts[1:]] + [now]
    worker_sec = sum(
        count.count * max(0.0, end - count.seconds) for count, end in zip(counts, ends, strict=True)
    )
    current = counts[-1].count
    machine = machine_type(job)
    found = _CPUS.search(machine)
    cpus = int(found[1]) if found else 1
    family = machine.partition("-")[0]
    memory_mb = cpus * _MEMORY_MB_PER_CPU.get(family, _DEFAULT_MEMORY_MB_PER_CPU)
    disk_gb = disk_size_gb(job)
    update_time = now_text if current else counts[-1].time
    return [
        {
            "name": {
                "origin": "dataflow/v1b3",
                "name": name,
                "context": {"original_name": f"Service-{original}"},
            },
            "scalar": int(value),
            "updateTime": update_time,
        }
        for name, original, value in (
            ("TotalVcpuTime", "cpu_num_seconds", cpus * worker_sec),
            ("TotalMemoryUsage", "mem_mb_seconds", memory_mb * worker_sec),
            ("TotalPdUsage", "pd_gb_seconds", disk_gb * worker_sec),
            ("CurrentVcpuCount", "cpu_num", cpus * current),
            ("CurrentMemoryUsage", "mem_mb", memory_mb * current),
            ("CurrentPdUsage", "pd_gb", disk_gb * current),
        )
    ]
