from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.emulator.runtime.processes import Child, Children, ChildrenClosedError

# A process that has a child, ignores SIGTERM, and prints both process ids.
FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), other.pid, flush=True)
time.sleep(600)
"""
LEAVES_ONE_BEHIND = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
"""
PARENT = """
import os, subprocess, sys, time
from pathlib import Path
from launcher.emulator.runtime.processes import Child
child = Child(
    [sys.executable, "-c", sys.argv[1]], cwd=Path("/"), env=dict(os.environ), stdout=sys.stdout
)
time.sleep(600)
"""


def start(code: str, *, stdout: int = subprocess.PIPE) -> Child:
    return Child([sys.executable, "-c", code], cwd=Path("/"), env=dict(os.environ), stdout=stdout)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")  # If nobody reaps orphans, they stay as zombies.
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


def eventually(condition: Callable[[], bool]) -> bool:
    return any(condition() or time.sleep(0.05) for _ in range(400))


def test_the_exit_status_and_the_output_come_through() -> None:
    child = start("print('hello'); raise SystemExit(3)")
    assert child.stdout.read() == b"hello\n"
    assert child.wait() == 3


def test_death_by_a_signal_is_128_and_the_signal() -> None:
    child = start(f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})")
    assert child.wait() == 128 + signal.SIGKILL


def test_a_command_that_is_not_there_is_127(tmp_path: Path) -> None:
    child = Child(
        [str(tmp_path / "nothing")],
        cwd=tmp_path,
        env={},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert (
        child.stdout.read()
        == f"cannot run {tmp_path}/nothing: No such file or directory\n".encode()
    )
    assert child.wait() == 127


def test_waiting_has_a_time_limit() -> None:
    child = start("import time; time.sleep(600)")
    assert child.wait(0.1) is None
    child.kill()


def test_killing_takes_the_whole_group() -> None:
    child = start(FAMILY)
    pids = [int(pid) for pid in child.stdout.readline().split()]
    child.kill()
    assert len(pids) == 2
    assert all(eventually(lambda pid=pid: is_gone(pid)) for pid in pids)
    child.kill()  # It can be called again.


def test_what_a_child_leaves_behind_is_killed() -> None:
    child = start(LEAVES_ONE_BEHIND)
    orphan = int(child.stdout.readline())
    assert child.wait() == 0
    assert eventually(lambda: is_gone(orphan))


def test_nothing_outlives_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, FAMILY], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    assert len(pids) == 2
    assert all(eventually(lambda pid=pid: is_gone(pid)) for pid in pids)


def test_killed_children_start_no_more() -> None:
    children = Children()
    child = children.start(
        [sys.executable, "-c", "import time; time.sleep(600)"], cwd=Path("/"), env={}
    )
    children.kill_all()
    assert child.wait(0) is not None
    with pytest.raises(ChildrenClosedError):
        children.start([sys.executable, "-c", ""], cwd=Path("/"), env={})
