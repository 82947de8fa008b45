"""What an attacker can reach of a running job: its sockets, its files, and leftovers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from launcher.emulator import daemon
from tests.processes import find_descendants, find_listeners, is_loopback
from tests.support import PROJECT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")

SLEEPER = """
import os
import subprocess
import sys
import time
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions


class Sleep(beam.DoFn):
    def process(self, path):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(path).write_text(str(os.getpid()))
        time.sleep(600)


if __name__ == "__main__":
    options = PipelineOptions(sys.argv[1:], pickle_library="cloudpickle", save_main_session=False)
    with beam.Pipeline(options=options) as pipeline:
        pipeline | beam.Create([PATH]) | beam.ParDo(Sleep())
"""


@dataclass(frozen=True)
class Running:
    """A job that sleeps, in a separate emulator."""

    info: daemon.EmulatorInfo
    output: Path
    """What the job's own code has written."""

    def processes(self) -> dict[int, str]:
        return find_descendants(self.info.pid)

    def find(self, needle: str) -> list[int]:
        return [pid for pid, command in self.processes().items() if needle in command]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A job that the tests only look at."""
    with run_sleeper(tmp_path_factory.mktemp("running")) as running:
        yield running


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[Running]:
    """A job of one test's own, which kills processes."""
    with run_sleeper(tmp_path) as running:
        yield running


@contextlib.contextmanager
def run_sleeper(folder: Path) -> Iterator[Running]:
    """Run the job until the end of the block."""
    workdir = folder / "image"
    workdir.mkdir()
    output = workdir / "output"
    (workdir / "main.py").write_text(SLEEPER.replace("PATH", repr(str(output))))
    images = folder / "images.toml"
    images.write_text(
        f'["sleeper"]\nworkdir = {json.dumps(str(workdir))}\n'
        'env = { FLEX_TEMPLATE_PYTHON_PY_FILE = "main.py" }\n'
    )
    data_dir = folder / "data"
    own_umask = os.umask(0o022)
    try:
        info = daemon.start_detached(
            daemon.EmulatorOptions(port=0, storage_port=0, data_dir=data_dir, images=images)
        )
    finally:
        os.umask(own_umask)
    try:
        call(f"{info.storage_endpoint}/storage/v1/b?project=p", {"name": "staging"})
        launch = {
            "jobName": "sleeper",
            "containerSpec": {"image": "sleeper", "sdkInfo": {"language": "PYTHON"}},
            "environment": {
                "sdkContainerImage": "sleeper",
                "stagingLocation": "gs://staging/here",
            },
        }
        call(
            f"{info.dataflow_endpoint}v1b3/projects/{PROJECT}/locations/r/flexTemplates:launch",
            {"launchParameter": launch},
        )
        wait_until(lambda: output.exists() and output.read_text() != "", 60)
        yield Running(info, output)
    finally:
        daemon.stop(data_dir)


def call(url: str, body: object) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=20) as answer:
        answer.read()


def wait_until(condition: Callable[[], object], timeout_sec: float) -> None:
    deadline = time.monotonic() + timeout_sec
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_every_socket_of_a_running_job_is_on_loopback(running: Running) -> None:
    listeners = find_listeners({running.info.pid, *running.processes()})
    (executor,) = running.find(" -m launcher.emulator.executor")[-1:]
    ports = [address for address, pid in listeners.items() if pid == executor]
    assert len(ports) >= 4, "Beam's control, data, state and logging servers"
    assert {running.info.dataflow_port, running.info.storage_port} <= {
        int(address.rpartition(":")[2]) for address in listeners
    }
    assert [address for address in listeners if not is_loopback(address)] == []


def test_the_data_of_a_job_is_not_served_to_other_machines(running: Running) -> None:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # It sends nothing, because only the address is needed.
            address = probe.getsockname()[0]
    except OSError:
        pytest.skip("this machine has no address but the loopback's")
    for listener in find_listeners(set(running.processes())):
        port = listener.rpartition(":")[2]
        with grpc.insecure_channel(f"{address}:{port}") as channel:
            data = beam_fn_api_pb2_grpc.BeamFnDataStub(channel).Data(
                iter([beam_fn_api_pb2.Elements()]),
                metadata=[("worker_id", "worker-1")],
                timeout=5,
            )
            with pytest.raises(grpc.RpcError) as refused:
                next(data)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_files_of_the_emulator_are_its_users_alone(running: Running) -> None:
    folder = running.info.data_dir
    paths = [folder, *folder.rglob("*")]
    assert len([path for path in paths if path.is_file()]) > 10
    open_to_others = [path for path in paths if path.stat().st_mode & 0o077]
    assert open_to_others == []
    # The job's own code is unrestricted: its files have the modes that they would have anyway.
    assert stat.S_IMODE(running.output.stat().st_mode) == 0o644


def test_nothing_outlives_the_supervisor_and_the_emulator(doomed: Running) -> None:
    everything = doomed.processes()
    worker = int(doomed.output.read_text())
    assert worker in everything
    assert len(doomed.find("time.sleep(600)")) == 1  # The job's own child.
    for leash in doomed.find("leash.py"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(leash, signal.SIGKILL)
    os.kill(doomed.info.pid, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in everything), 5)


def test_nothing_outlives_a_killed_supervisor(doomed: Running) -> None:
    everything = {
        pid: command
        for pid, command in doomed.processes().items()
        if "pubsub" not in command  # It has its own leash, and is started again.
    }
    for leash in everything:
        if "leash.py" in everything[leash]:
            os.kill(leash, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in everything), 5)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
