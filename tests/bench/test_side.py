"""A side's resources cover all its processes, and only the measured parts."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.process_tree import ProcessTree
from tests.bench.side import SideFailedError, measure

_HANDSHAKE = """
import subprocess, sys, time

def wait(word):
    print(word, flush=True)
    sys.stdin.readline()

def burn(seconds):
    code = f"import time\\nwhile time.process_time() < {seconds}: pass"
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
"""


def _measure(program, **options):
    return measure([sys.executable, "-c", _HANDSHAKE + program], **options)


def test_children_count_whether_they_are_waited_for_or_not():
    (figures,) = _measure(
        """
wait("ready")
burn(0.3).wait()
left = burn(0.3)
while open(f"/proc/{left.pid}/stat").read().split()[2] != "Z":
    time.sleep(0.05)
wait("done")
"""
    )
    assert 0.5 < figures["cpu_sec"] < 2


def test_only_what_lies_between_ready_and_done_counts():
    first, second = _measure(
        """
burn(0.5).wait()
wait("ready")
wait("done")
wait("ready")
content = bytearray(b"x") * (300 * 1024**2)
time.sleep(0.5)
wait("done")
"""
    )
    assert first["cpu_sec"] < 0.3 < first["startup_cpu_sec"]
    assert first["peak_mib"] < 300 < second["peak_mib"]


def test_a_side_that_fails_says_why():
    with pytest.raises(SideFailedError, match=r"status 1:(?s:.*)no such thing"):
        _measure("wait('ready'); raise ValueError('no such thing')")


def test_a_side_that_hangs_is_ended():
    with pytest.raises(SideFailedError):
        _measure("wait('ready'); time.sleep(600)", timeout_sec=2)


def test_only_processes_that_begin_in_it_are_ended():
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleep) as before:
        with ProcessTree():
            within = subprocess.Popen(sleep)
        assert not Path("/proc", str(within.pid)).exists()
        assert before.poll() is None
        before.kill()
        within.wait()
