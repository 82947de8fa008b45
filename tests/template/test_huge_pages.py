"""How torch gets memory from Linux."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
MIB = 1 << 20
COUNT_FAULTS = f"""
import resource, template, torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones({64 * MIB}, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_faults(**variables: str) -> int:
    """Return the page faults caused by filling a tensor of 64 MiB in a separate process."""
    env = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    done = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS],
        env={**env, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return int(done.stdout)


@pytest.mark.skipif(
    not HUGE_PAGES.exists() or "[never]" in HUGE_PAGES.read_text(),
    reason="this kernel gives no huge pages",
)
def test_large_tensors_do_not_cost_a_page_fault_for_every_4_kib() -> None:
    pages = 64 * MIB // 4096

    assert count_faults() < pages / 4
    if "[madvise]" in HUGE_PAGES.read_text():
        assert count_faults(THP_MEM_ALLOC_ENABLE="0") >= pages
