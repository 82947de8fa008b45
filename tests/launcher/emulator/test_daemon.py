"""The emulator's process: started, found, stopped, killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from launcher.emulator import daemon
from launcher.emulator.instance import find_running, state_file
from launcher.emulator.runtime.states import JobState
from launcher.emulator.service.job_store import JobStore
from tests.support import BIN


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    daemon.stop(folder)


def start(data_dir: Path) -> daemon.EmulatorInfo:
    return daemon.start_detached(daemon.EmulatorOptions(port=0, data_dir=data_dir))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def get(url: str | urllib.request.Request) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def test_start_find_and_stop(data_dir: Path) -> None:
    assert find_running(data_dir) is None
    assert daemon.stop(data_dir) is False
    info = start(data_dir)
    assert find_running(data_dir) == info
    assert start(data_dir) == info
    assert get(f"{info.dataflow_endpoint}v1b3/projects/p/jobs:aggregated") == {}
    assert get(f"{info.storage_endpoint}/storage/v1/b?project=p")["kind"] == "storage#buckets"
    assert daemon.stop(data_dir) is True
    assert find_running(data_dir) is None
    assert not state_file(data_dir).exists()


def test_projects_are_registered_and_outlive_a_restart(data_dir: Path, tmp_path: Path) -> None:
    info = start(data_dir)
    assert daemon.find_on_port(info.dataflow_port) == info
    assert daemon.find_on_port(info.storage_port) is None
    daemon.register_project(info, "churn", tmp_path, Path(sys.executable))
    with pytest.raises(daemon.EmulatorOptionError, match="python '/bin/true': flexpack is not"):
        daemon.register_project(info, "digits", tmp_path, Path("/bin/true"))
    daemon.stop(data_dir)
    (project,) = daemon.list_projects(start(data_dir))
    assert project == {
        "name": "churn", "folder": str(tmp_path), "python": sys.executable, "missing": ""
    }  # fmt: skip
    for command in ("register other", "status"):
        words = [BIN / "flexpack", "emulator", *command.split(), f"--data-dir={data_dir}"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert f"local/churn  {tmp_path}\n            local/other  {Path.cwd()}" in done.stdout


def test_both_ports_are_guarded(data_dir: Path) -> None:
    info = start(data_dir)
    for endpoint in (info.dataflow_endpoint, info.storage_endpoint):
        request = urllib.request.Request(endpoint, headers={"Origin": "https://evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=10)


def test_a_killed_emulator_is_noticed_and_its_jobs_fail(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    jobs = JobStore(data_dir / "jobs.sqlite3")
    record = jobs.create(project_id="p", region="r", name="j", state=JobState.QUEUED, document={})
    jobs.close()

    info = start(data_dir)
    job_url = f"v1b3/projects/p/locations/r/jobs/{record.id}"
    job = get(info.dataflow_endpoint + job_url)
    assert job["currentState"] == "JOB_STATE_FAILED"
    (message,) = get(f"{info.dataflow_endpoint}{job_url}/messages")["jobMessages"]
    assert message["messageImportance"] == "JOB_MESSAGE_ERROR"
    assert "was stopped while this job was running" in message["messageText"]

    os.kill(info.pid, signal.SIGKILL)
    assert state_file(data_dir).exists()
    assert find_running(data_dir) is None
    again = start(data_dir)
    assert again.pid != info.pid
    assert get(again.dataflow_endpoint + job_url) == job


def test_a_foreign_program_on_the_port_is_not_taken_for_the_emulator(data_dir: Path) -> None:
    info = start(data_dir)
    state = json.loads(state_file(data_dir).read_text())
    daemon.stop(data_dir)
    state_file(data_dir).write_text(json.dumps({**state, "pid": os.getpid()}))
    with socket.create_server(("127.0.0.1", info.dataflow_port)):
        assert find_running(data_dir) is None


def test_an_unreadable_state_file_is_named(data_dir: Path) -> None:
    data_dir.mkdir()
    state_file(data_dir).write_text("{")
    with pytest.raises(daemon.EmulatorError, match=r"emulator\.json cannot be read"):
        find_running(data_dir)
    state_file(data_dir).unlink()


def test_an_emulator_of_another_version_is_named_and_can_be_stopped(data_dir: Path) -> None:
    start(data_dir)
    state = json.loads(state_file(data_dir).read_text())
    for other in ({"code": "of last week"}, {}):
        named = {key: value for key, value in state.items() if key != "code"}
        state_file(data_dir).write_text(json.dumps(named | other))
        for ask in (find_running, start):
            with pytest.raises(daemon.EmulatorError, match="was started by a different version of"):
                ask(data_dir)
    commands = subprocess.run(
        [BIN / "flexpack", "emulator", "env", f"--data-dir={data_dir}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert commands.returncode == 1
    assert f"'flexpack emulator stop --data-dir {data_dir}', then start it" in commands.stderr
    assert "Traceback" not in commands.stderr
    assert daemon.stop(data_dir) is True
    assert find_running(data_dir) is None
    start(data_dir)


def test_a_busy_port_is_named(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(daemon.EmulatorError, match=f"--port {port}: the port is in use"):
            daemon.start_detached(
                daemon.EmulatorOptions(port=port, storage_port=0, data_dir=data_dir)
            )
        with pytest.raises(
            daemon.EmulatorError, match=f"--storage-port {port}: the port is in use"
        ):
            daemon.start_detached(
                daemon.EmulatorOptions(port=0, storage_port=port, data_dir=data_dir)
            )


def test_an_images_file_that_cannot_be_read_is_named(data_dir: Path, tmp_path: Path) -> None:
    images = tmp_path / "images.toml"
    images.write_text("[")
    with pytest.raises(daemon.EmulatorError, match=r"--images: .*images\.toml: not a TOML"):
        daemon.start_detached(daemon.EmulatorOptions(port=0, data_dir=data_dir, images=images))


def test_an_emulator_that_does_not_answer_is_stopped(data_dir: Path) -> None:
    info = start(data_dir)
    os.kill(info.pid, signal.SIGSTOP)
    assert daemon.stop(data_dir, timeout_sec=0.2) is True
    assert os.WTERMSIG(os.waitpid(info.pid, 0)[1]) == signal.SIGKILL


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with any emulator."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def test_several_stops_at_once_stop_the_emulator_and_nothing_else(
    data_dir: Path, bystander: subprocess.Popen[bytes]
) -> None:
    for _ in range(3):
        start(data_dir)
        # Written by an earlier version; another process has that number now.
        (data_dir / "emulator.lock").write_text(str(bystander.pid))
        code = "import sys; from pathlib import Path; from launcher.emulator import daemon; "
        code += "daemon.stop(Path(sys.argv[1]))"
        stops = [subprocess.Popen([sys.executable, "-c", code, data_dir]) for _ in range(6)]
        assert [stop.wait(60) for stop in stops] == [0] * 6
        assert find_running(data_dir) is None
        assert bystander.poll() is None


@pytest.mark.parametrize("content", ["", "no number", "-1", "0"])
def test_what_the_lock_file_holds_does_not_matter(data_dir: Path, content: str) -> None:
    start(data_dir)
    (data_dir / "emulator.lock").write_text(content)
    assert daemon.stop(data_dir) is True
    (data_dir / "emulator.lock").write_text(content)
    assert daemon.stop(data_dir) is False
    start(data_dir)


def test_a_lock_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    data_dir = tmp_path / "broken"
    (data_dir / "emulator.lock").mkdir(parents=True)
    with pytest.raises(daemon.EmulatorError, match=r"emulator\.lock cannot be read \(Is a dir"):
        daemon.stop(data_dir)


def test_a_folder_that_was_open_to_others_is_closed(data_dir: Path) -> None:
    start(data_dir)
    daemon.stop(data_dir)
    data_dir.chmod(0o755)
    start(data_dir)
    assert data_dir.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_others_is_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "thesis.txt").touch()
    with pytest.raises(daemon.EmulatorOptionError, match=f"--data-dir {folder}: other users may"):
        daemon.start_detached(daemon.EmulatorOptions(port=0, data_dir=folder))
    assert folder.stat().st_mode & 0o777 == 0o777
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_one_folder_has_one_emulator(data_dir: Path) -> None:
    start(data_dir)
    with pytest.raises(daemon.EmulatorError, match="an emulator is running there; stop it with"):
        daemon.serve(daemon.EmulatorOptions(port=0, data_dir=data_dir), on_ready=lambda info: None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_serving_in_the_foreground_ends_with_a_signal(
    data_dir: Path, number: signal.Signals
) -> None:
    program = (
        "import signal, sys; from pathlib import Path; from launcher.emulator import daemon\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever runs the tests\n"
        "daemon.serve(daemon.EmulatorOptions(port=0, data_dir=Path(sys.argv[1])), "
        "on_ready=lambda info: print(info.pid, flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(data_dir)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == str(process.pid)
    process.send_signal(number)
    assert process.wait(timeout=20) == 0
    assert not state_file(data_dir).exists()


def test_importing_the_daemon_is_cheap() -> None:
    program = (
        "import sys; import launcher.emulator.daemon\n"
        "print(*{'starlette', 'uvicorn', 'orjson', 'googleapiclient'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == ""


def processes_below(folder: Path) -> list[int]:
    """Return the processes that work in a folder, as all processes of jobs do here."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(int(process.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
def test_a_killed_emulator_takes_its_jobs_with_it(data_dir: Path, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    (tmp_path / "main.py").write_text(
        f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(120)\n"
    )
    images = tmp_path / "images.toml"
    images.write_text(
        f'["sleeper"]\nworkdir = {json.dumps(str(tmp_path))}\n'
        'env = { FLEX_TEMPLATE_PYTHON_PY_FILE = "main.py" }\n'
    )
    info = daemon.start_detached(
        daemon.EmulatorOptions(port=0, data_dir=data_dir, images=images, max_jobs=1)
    )
    path = "v1b3/projects/p/locations/r1/"

    def launch(name: str) -> str:
        spec = {"image": "sleeper", "sdkInfo": {"language": "PYTHON"}}
        body = json.dumps({"launchParameter": {"jobName": name, "containerSpec": spec}}).encode()
        request = urllib.request.Request(
            f"{info.dataflow_endpoint}{path}flexTemplates:launch", body
        )
        job_id: str = get(request)["job"]["id"]
        return job_id

    def texts(info: daemon.EmulatorInfo, job_id: str) -> list[str]:
        messages = get(f"{info.dataflow_endpoint}{path}jobs/{job_id}/messages")["jobMessages"]
        return [message["messageText"] for message in messages]

    running, waiting = launch("running"), launch("waiting")
    assert "at most 1 jobs at once; this one waits" in texts(info, waiting)[0]
    upload = f"{info.storage_endpoint}/upload/storage/v1/b/kept/o?uploadType=media&name=a"
    get(
        urllib.request.Request(
            f"{info.storage_endpoint}/storage/v1/b?project=p", b'{"name": "kept"}'
        )
    )
    get(urllib.request.Request(upload, b"kept"))
    wait_until(lambda: pid_file.exists() and pid_file.read_text() != "")
    sleeper = int(pid_file.read_text())
    before = {job_id: texts(info, job_id) for job_id in (running, waiting)}
    assert len(processes_below(tmp_path)) > 1  # The launcher and the executor at least.
    (temp_dir,) = Path(tempfile.gettempdir()).glob(f"flexpack-{info.pid}-*")

    os.kill(info.pid, signal.SIGKILL)
    os.waitpid(info.pid, 0)
    wait_until(lambda: not is_alive(sleeper) and processes_below(tmp_path) == [])
    again = start(data_dir)
    assert not temp_dir.exists()
    for job_id in (running, waiting):
        after = get(f"{again.dataflow_endpoint}{path}jobs/{job_id}")
        assert after["currentState"] == "JOB_STATE_FAILED"
        *kept, reason = texts(again, job_id)
        assert kept == before[job_id]
        assert "was stopped while this job was running" in reason
    kept_object = f"{again.storage_endpoint}/storage/v1/b/kept/o/a?alt=media"
    with urllib.request.urlopen(kept_object, timeout=10) as answer:
        assert answer.read() == b"kept"


@pytest.mark.parametrize("name", ["a-file", "a-file/below"])
def test_a_folder_that_cannot_be_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "a-file").touch()
    folder = tmp_path / name
    for begin in (
        lambda: daemon.start_detached(daemon.EmulatorOptions(port=0, data_dir=folder)),
        lambda: daemon.serve(
            daemon.EmulatorOptions(port=0, data_dir=folder), on_ready=lambda info: None
        ),
    ):
        with pytest.raises(daemon.EmulatorOptionError, match=f"--data-dir {folder}: cannot be"):
            begin()
    assert find_running(folder) is None
    assert daemon.stop(folder) is False


@pytest.mark.parametrize(
    ("ports", "problem"),
    [
        ({"port": 65534}, "--port 65534: must be from 1 to 65532, or 0"),
        ({"port": -1}, "--port -1: must be"),
        ({"port": 0, "storage_port": 70000}, "--storage-port 70000: must be from 1 to 65535, or 0"),
    ],
)
def test_ports_that_cannot_be_are_refused(
    data_dir: Path, ports: dict[str, int], problem: str
) -> None:
    with pytest.raises(daemon.EmulatorError, match=problem):
        daemon.start_detached(daemon.EmulatorOptions(data_dir=data_dir, **ports))
    assert not data_dir.exists()


def test_a_limit_that_cannot_be_is_refused(data_dir: Path) -> None:
    with pytest.raises(daemon.EmulatorError, match="--max-jobs 0: must be 1 or more"):
        daemon.start_detached(daemon.EmulatorOptions(port=0, data_dir=data_dir, max_jobs=0))
