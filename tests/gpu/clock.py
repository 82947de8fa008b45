"""Records when a side of the benchmark predicted, and how busy the GPU was meanwhile.

The busy share comes from NVIDIA's management library: the share of the last sample period in which
a kernel ran. https://docs.nvidia.com/deploy/nvml-api/
"""

from __future__ import annotations

import ctypes
import threading
import time

_LIBRARY = "libnvidia-ml.so.1"
_PERIOD_SEC = 0.1


class Clock:
    """The time from the first forward pass to the end of the last, over all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = self._ended = 0.0
        self._rows = 0
        self._stop = threading.Event()
        self._samples: list[tuple[float, int]] = []

    def begin(self) -> None:
        """Record that a forward pass begins."""
        with self._lock:
            if not self._began:
                self._began = time.monotonic()
                threading.Thread(target=self._sample, daemon=True).start()

    def end(self, rows: int) -> None:
        """Record that results of more rows are in the CPU's memory."""
        with self._lock:
            self._ended = time.monotonic()
            self._rows += rows

    def figures(self) -> dict[str, float | None]:
        """Return rows, rows per second and the GPU's busy share, which is None without a GPU."""
        self._stop.set()
        elapsed = self._ended - self._began
        busy = [share for moment, share in self._samples if self._began <= moment <= self._ended]
        return {
            "rows": self._rows,
            "predict_sec": elapsed,
            "rows_per_sec": self._rows / elapsed if elapsed else None,
            "gpu_busy": sum(busy) / len(busy) / 100 if busy else None,
        }

    def _sample(self) -> None:
        read = find_busy_reader()
        while read is not None and not self._stop.wait(_PERIOD_SEC):
            percent = read()
            if percent is not None:
                self._samples.append((time.monotonic(), percent))


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


def find_busy_reader(library: str = _LIBRARY):
    """Return a function that reads the first GPU's busy percents; None without NVIDIA's library."""
    try:
        nvml = ctypes.CDLL(library)
    except OSError:
        return None
    handle = ctypes.c_void_p()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)):
        return None

    def read() -> int | None:
        found = _Utilization()
        code = nvml.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(found))
        return None if code else int(found.gpu)

    return read
