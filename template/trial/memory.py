"""The memory of this process, now and at its peak."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def find_resident_bytes() -> int:
    """Return the current memory of this process, or its peak if only that is known."""
    return _read_status("VmRSS") or find_peak_bytes()


def find_peak_bytes() -> int:
    """Return the most memory that this process has had."""
    found = _read_status("VmHWM")  # ru_maxrss includes that of the parent, before exec
    if found:
        return found
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _read_status(name: str) -> int:
    if not _STATUS.exists():
        return 0
    match = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0
