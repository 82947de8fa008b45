"""Malformed inputs of every source and format of the templates."""

import resource
from pathlib import Path

from tests.fuzz.check import check_input
from tests.fuzz.mutate import make_input

MAX_BYTES = 1 << 30


class Sources:
    """Reads inputs as the pipelines do, in 1 GiB of memory each."""

    def __init__(self, folder):
        self._folder = folder

    def check(self, seed, number):
        """Read one input.

        Raises:
            Exception: a source raised one, or its output is not consistent.
        """
        format_, data = make_input(seed, number)
        check_input(format_, data, number, self._folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        if peak > MAX_BYTES:
            Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
            raise AssertionError(f"{peak >> 20} MiB of memory")

    def close(self):
        pass
