"""CPU and memory, measured on real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from launcher.emulator.runtime.usage import UsageMeter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")

_BUSY = """
import subprocess, sys, time
held = b"x" * (64 << 20)
if len(sys.argv) == 1:
    child = subprocess.Popen([sys.executable, "-c", open("/dev/stdin").read(), "child"])
end = time.process_time() + 60
while time.process_time() < end:
    pass
"""


def test_a_process_and_those_below_it_are_measured():
    source = _BUSY.replace('open("/dev/stdin").read()', repr(_BUSY))
    with subprocess.Popen([sys.executable, "-c", source], start_new_session=True) as process:
        try:
            meter = UsageMeter()
            deadline = time.monotonic() + 30
            usage = None
            while (usage is None or usage.memory_bytes < 128 << 20) and time.monotonic() < deadline:
                time.sleep(0.2)
                usage = meter.read([process.pid])
            assert usage.memory_bytes >= 128 << 20  # of both
            time.sleep(0.5)
            assert 0.02 < meter.read([process.pid]).cores <= 2.2
        finally:
            os.killpg(process.pid, 9)


def test_nothing_is_reported_of_processes_that_are_gone():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert UsageMeter().read([process.pid]) is None
    assert UsageMeter().read([]) is None
