"""The number of workers that a job gets, or will probably get after its launch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from launcher.emulator.runtime.launch import Launch


def count_workers_ahead(launch: Launch) -> int:
    """Return the number of workers that a launch's job will probably get."""
    environment = launch.runtime_environment
    options = {
        "num_workers": environment.get("numWorkers"),
        "max_num_workers": environment.get("maxWorkers"),
    }
    return count_workers(options, cores=os.cpu_count() or 1)


def count_workers(options: Mapping[str, Any], *, cores: int) -> int:
    """Return the number of workers that a job with these pipeline options gets.

    There is no autoscaling: the pool keeps its initial size, ``num_workers``, or else
    ``max_num_workers``, or else 1, but never more than the number of cores.
    """
    wanted = options.get("num_workers") or options.get("max_num_workers") or 1
    return max(1, min(int(wanted), cores))
