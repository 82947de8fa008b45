"""Loads the local Dataflow: launches, then polling over several connections, and its memory.

``python tests/bench/load_emulator.py`` starts its own emulator in a temporary folder. Every
launch starts a real launcher process. With ``--real N``, N of the launches are the kit's batch
template, which predicts 1,000 drawn images, must end DONE, and takes some seconds on two cores; the
entry file of the others stages no job, so they must end FAILED. Then it polls ``jobs.get`` and,
every tenth time, ``jobs.messages.list`` in rounds over connections that are kept alive, and reads
the emulator's resident memory meanwhile. Exits 1 on any error.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from launcher.emulator import daemon
from template.demo.train import IMAGES_NAME, WEIGHTS_NAME, write_demo_files

_PLACE = "/v1b3/projects/load/locations/us-central1"
_DONE, _FAILED = "JOB_STATE_DONE", "JOB_STATE_FAILED"
_BUCKET = "flexpack-load"
_IMAGES_IN_FILE = 1000
_CONNECTIONS = 8
_SAMPLE_PERIOD_SEC = 0.2


class Connection:
    """One connection that is kept alive."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("localhost", port, timeout=60)

    def call(self, verb: str, path: str, body: object = None) -> Any:
        """Call the API; return the answer's JSON, or exit with what went wrong."""
        self._http.request(verb, _PLACE + path, None if body is None else json.dumps(body))
        answer = self._http.getresponse()
        content = answer.read()
        if answer.status != 200:
            sys.exit(f"{verb} {path}: {answer.status} {content[:500]!r}")
        return json.loads(content)


@dataclass(frozen=True)
class Round:
    """One round of polling; the memory is the emulator's, in MiB, read during the round."""

    wall_sec: float
    latencies_sec: Sequence[float]
    resident_mib: Sequence[float]


def stage_real_template(info: daemon.EmulatorInfo, folder: Path) -> None:
    """Upload images and weights for the batch template."""
    write_demo_files(folder)
    client = storage.Client(
        project="load",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": info.storage_endpoint},
    )
    bucket = client.create_bucket(_BUCKET)
    for name in (IMAGES_NAME, WEIGHTS_NAME):
        bucket.blob(name).upload_from_filename(str(folder / name))


def launch_all(port: int, count: int, real: int) -> list[str]:
    """Launch templates over several connections; return the jobs' ids, the real jobs first."""

    def parameter(number: int) -> dict[str, Any]:
        image = "local/flexpack" if number < real else "load/trivial"
        values = {
            "input": f"gs://{_BUCKET}/{IMAGES_NAME}",
            "model_path": f"gs://{_BUCKET}/{WEIGHTS_NAME}",
            "output": f"gs://{_BUCKET}/out/{number}",
        }
        return {
            "jobName": f"load-{number}",
            "containerSpec": {"image": image, "sdkInfo": {"language": "PYTHON"}},
            "environment": {"sdkContainerImage": image},
            "parameters": values if number < real else {},
        }

    def launch_share(share: int) -> list[tuple[int, str]]:
        connection = Connection(port)
        ids = []
        for number in range(share, count, _CONNECTIONS):
            body = {"launchParameter": parameter(number)}
            answer = connection.call("POST", "/flexTemplates:launch", body)
            ids.append((number, str(answer["job"]["id"])))
        return ids

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        shares = pool.map(launch_share, range(_CONNECTIONS))
        return [job_id for _, job_id in sorted(pair for share in shares for pair in share)]


def poll(info: daemon.EmulatorInfo, job_ids: Sequence[str], calls: int) -> Round:
    """Read jobs and, every tenth time, their messages; spread over the connections."""

    def poll_share(share: int) -> list[float]:
        connection = Connection(info.dataflow_port)
        latencies = []
        for number in range(share, calls, _CONNECTIONS):
            suffix = "/messages" if number // _CONNECTIONS % 10 == 9 else "?view=JOB_VIEW_ALL"
            began = time.perf_counter()
            connection.call("GET", f"/jobs/{job_ids[number % len(job_ids)]}{suffix}")
            latencies.append(time.perf_counter() - began)
        return latencies

    with sample_memory(info.pid) as samples, ThreadPoolExecutor(_CONNECTIONS) as pool:
        began = time.perf_counter()
        shares = pool.map(poll_share, range(_CONNECTIONS))
        latencies = [one for share in shares for one in share]
        wall_sec = time.perf_counter() - began
    return Round(wall_sec, latencies, samples)


def wait_for_end(port: int, job_ids: Sequence[str], wanted: str, timeout_sec: float) -> None:
    """Wait until every job has ended, and exit unless each ended in the wanted state."""
    connection = Connection(port)
    deadline = time.monotonic() + timeout_sec
    states: collections.Counter[str] = collections.Counter()
    while states[_DONE] + states[_FAILED] < len(job_ids):
        if time.monotonic() > deadline:
            sys.exit(f"not all jobs have ended after {timeout_sec:g} s: {dict(states)}")
        time.sleep(1)
        states = collections.Counter(
            connection.call("GET", f"/jobs/{job_id}")["currentState"] for job_id in job_ids
        )
    if states[wanted] < len(job_ids):
        sys.exit(f"jobs ended otherwise than {wanted}: {dict(states)}")


def check_predictions(port: int, job_ids: Sequence[str]) -> None:
    """Exit unless every job has predicted every image."""
    connection = Connection(port)
    for job_id in job_ids:
        updates = connection.call("GET", f"/jobs/{job_id}/metrics")["metrics"]
        counts = {
            update["scalar"]
            for update in updates
            if update["name"]["name"] == "predictions" and "scalar" in update
        }
        if counts != {_IMAGES_IN_FILE}:
            sys.exit(f"{job_id} has predicted {counts}, not {_IMAGES_IN_FILE}")


@contextmanager
def sample_memory(pid: int) -> Iterator[list[float]]:
    """Yield a list that collects the resident memory of a process until the end."""
    samples = [resident_mib(pid)]
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(_SAMPLE_PERIOD_SEC):
            samples.append(resident_mib(pid))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()
        samples.append(resident_mib(pid))


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    reported = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return int(reported.stdout) / 1024


def peak_mib(pid: int) -> str:
    """Return, in words, the largest resident memory that a process ever had; Linux reports it."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return "unknown"
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return f"{int(fields['VmHWM'].split()[0]) / 1024:.1f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--launches", type=int, default=200)
    parser.add_argument("--real", type=int, default=0, help="of them the kit's batch template")
    parser.add_argument("--calls", type=int, default=10_000, help="of one round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--timeout-sec", type=float, default=3600, help="for all jobs to end")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="flexpack-load-") as folder:
        directory = Path(folder)
        (directory / "main.py").write_text("print('staged nothing')\n")
        images = directory / "images.toml"
        images.write_text(
            '["load/trivial"]\nworkdir = "."\nenv = { FLEX_TEMPLATE_PYTHON_PY_FILE = "main.py" }\n'
        )
        data_dir = directory / "data"
        info = daemon.start_detached(
            daemon.EmulatorOptions(port=0, storage_port=0, data_dir=data_dir, images=images)
        )
        try:
            load(info, directory, arguments)
        finally:
            daemon.stop(data_dir)


def load(info: daemon.EmulatorInfo, directory: Path, arguments: argparse.Namespace) -> None:
    """Launch, wait, poll; print what it took."""
    port, real = info.dataflow_port, min(arguments.real, arguments.launches)
    if real:
        stage_real_template(info, directory / "files")
    began = time.perf_counter()
    job_ids = launch_all(port, arguments.launches, real)
    accepted_sec = time.perf_counter() - began
    print(f"{len(job_ids)} launches accepted in {accepted_sec:.1f} s", flush=True)
    wait_for_end(port, job_ids[:real], _DONE, arguments.timeout_sec)
    if real:
        check_predictions(port, job_ids[:real])
        print(
            f"{real} of them ran the batch template and predicted {_IMAGES_IN_FILE:,} images "
            f"each, the last after {time.perf_counter() - began:.0f} s",
            flush=True,
        )
    wait_for_end(port, job_ids[real:], _FAILED, arguments.timeout_sec)
    print(
        f"all have ended after {time.perf_counter() - began:.0f} s; "
        f"{resident_mib(info.pid):.1f} MiB resident",
        flush=True,
    )
    for number in range(1, arguments.rounds + 1):
        done = poll(info, job_ids, arguments.calls)
        calls = len(done.latencies_sec)
        percentile_99 = statistics.quantiles(done.latencies_sec, n=100)[98]
        print(
            f"round {number}: {calls:,} calls over {_CONNECTIONS} connections in "
            f"{done.wall_sec:.1f} s, {calls / done.wall_sec:,.0f}/s; median "
            f"{1000 * statistics.median(done.latencies_sec):.1f} ms, 99th percentile "
            f"{1000 * percentile_99:.1f} ms; {min(done.resident_mib):.1f} to "
            f"{max(done.resident_mib):.1f} MiB resident in {len(done.resident_mib)} samples",
            flush=True,
        )
    print(f"largest resident memory: {peak_mib(info.pid)}")


if __name__ == "__main__":
    main()
