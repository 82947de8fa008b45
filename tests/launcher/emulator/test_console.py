"""The console's process starts on a visit, even after it died, and ends with the emulator."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time

import pytest

from launcher.emulator import console, daemon
from tests.processes import find_descendants, find_listeners, is_loopback


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("console")
    options = daemon.EmulatorOptions(port=0, storage_port=0, pubsub_port=0, data_dir=data_dir)
    info = daemon.start_detached(options)
    yield info
    daemon.stop(data_dir)


def visit(info, host="localhost"):
    connection = http.client.HTTPConnection("localhost", info.console_port, timeout=30)
    connection.request("GET", "/templates", headers={"Host": f"{host}:{info.console_port}"})
    status = connection.getresponse().status
    connection.close()
    return status


def find_consoles(info):
    return {
        pid
        for pid, command in find_descendants(info.pid).items()
        if command.endswith("-m launcher.console") and "leash.py" not in command
    }


def test_it_starts_at_the_first_visit_and_again_after_its_death(served):
    assert find_consoles(served) == set()
    assert visit(served) == 200
    (first,) = find_consoles(served)
    assert visit(served) == 200
    assert find_consoles(served) == {first}
    assert visit(served, host="evil.example") == 403
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while find_consoles(served) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert visit(served) == 200
    assert find_consoles(served) not in (set(), {first})


def test_it_listens_on_loopback_only(served):
    visit(served)
    listeners = find_listeners({served.pid, *find_descendants(served.pid)})
    assert served.console_port in {int(each.rpartition(":")[2]) for each in listeners}
    assert [each for each in listeners if not is_loopback(each)] == []
    assert daemon.find_running(served.data_dir).console_url == served.console_url


def test_it_ends_with_the_local_dataflow(tmp_path):
    options = daemon.EmulatorOptions(port=0, storage_port=0, pubsub_port=0, data_dir=tmp_path)
    info = daemon.start_detached(options)
    visit(info)
    processes = set(find_descendants(info.pid))
    assert find_consoles(info)
    daemon.stop(tmp_path)
    assert not [pid for pid in processes if os.path.exists(f"/proc/{pid}")]
    with pytest.raises(ConnectionRefusedError):
        visit(info)


def test_it_can_be_left_out(tmp_path):
    options = daemon.EmulatorOptions(
        port=0, storage_port=0, pubsub_port=0, data_dir=tmp_path, no_console=True
    )
    info = daemon.start_detached(options)
    try:
        assert info.console_port is None
        assert info.console_url is None
    finally:
        daemon.stop(tmp_path)


def test_a_port_that_is_taken_is_not_insisted_on():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with console.listen(port) as listener:
            assert listener.getsockname()[1] != port
    with console.listen(port) as listener:
        assert listener.getsockname() == ("127.0.0.1", port)
