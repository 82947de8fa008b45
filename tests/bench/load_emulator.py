"""Loads the local Dataflow: launches, then polling over several connections, and its memory.

``python tests/bench/load_emulator.py`` starts an emulator of its own in a temporary folder. Every
launch starts a real launcher process (a trivial entry file that stages no job, so the job ends
FAILED); with ``--beam`` it is a small Beam pipeline that must end DONE, some seconds of two cores
each. Then ``jobs.get`` and ``jobs.messages.list`` are polled in rounds over connections that are
kept alive, and the emulator's resident memory is read after every round. Exits 1 on any error.
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
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.emulator import daemon

_PLACE = "/v1b3/projects/load/locations/us-central1"
_TERMINAL = ("JOB_STATE_DONE", "JOB_STATE_FAILED")
_ENTRY_FILES = {
    "trivial": "print('staged nothing')\n",
    "beam": """
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

with beam.Pipeline(options=PipelineOptions()) as pipeline:
    pipeline | beam.Create(range(10)) | beam.Map(str)
""",
}


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
    """One round of polling."""

    calls: int
    wall_sec: float
    latencies_sec: Sequence[float]


def launch_all(port: int, count: int, image: str) -> list[str]:
    """Launch ``count`` templates over eight connections; return the ids of their jobs."""
    spec = {"image": image, "sdkInfo": {"language": "PYTHON"}}
    connections = [Connection(port) for _ in range(8)]

    def launch(number: int, connection: Connection) -> str:
        parameter = {
            "jobName": f"load-{number}",
            "containerSpec": spec,
            "environment": {"sdkContainerImage": image},
        }
        answer = connection.call("POST", "/flexTemplates:launch", {"launchParameter": parameter})
        job_id: str = answer["job"]["id"]
        return job_id

    def launch_share(share: int) -> list[str]:
        return [launch(number, connections[share]) for number in range(share, count, 8)]

    with ThreadPoolExecutor(8) as pool:
        return [job_id for ids in pool.map(launch_share, range(8)) for job_id in ids]


def poll(port: int, job_ids: Sequence[str], calls: int, connections: int) -> Round:
    """Read jobs and, every tenth time, their messages; spread over the connections."""

    def poll_share(share: int) -> list[float]:
        connection = Connection(port)
        latencies = []
        for number in range(share, calls, connections):
            suffix = "/messages" if number // connections % 10 == 9 else "?view=JOB_VIEW_ALL"
            began = time.perf_counter()
            connection.call("GET", f"/jobs/{job_ids[number % len(job_ids)]}{suffix}")
            latencies.append(time.perf_counter() - began)
        return latencies

    began = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        latencies = [one for share in pool.map(poll_share, range(connections)) for one in share]
    return Round(len(latencies), time.perf_counter() - began, latencies)


def wait_for_end(port: int, job_ids: Sequence[str], wanted: str, timeout_sec: float) -> None:
    """Wait until every job has ended, and exit unless each has in the wanted state."""
    connection = Connection(port)
    deadline = time.monotonic() + timeout_sec
    states: collections.Counter[str] = collections.Counter()
    while sum(states[state] for state in _TERMINAL) < len(job_ids):
        if time.monotonic() > deadline:
            sys.exit(f"not all jobs have ended after {timeout_sec:g} s: {dict(states)}")
        time.sleep(1)
        states = collections.Counter(
            connection.call("GET", f"/jobs/{job_id}")["currentState"] for job_id in job_ids
        )
    if states[wanted] < len(job_ids):
        sys.exit(f"jobs ended otherwise than {wanted}: {dict(states)}")


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    told = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return int(told.stdout) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--launches", type=int, default=200)
    parser.add_argument("--calls", type=int, default=10_000, help="of one round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--beam", action="store_true", help="launch real Beam pipelines")
    parser.add_argument("--timeout-sec", type=float, default=3600, help="for all jobs to end")
    arguments = parser.parse_args()
    kind, wanted = ("beam", _TERMINAL[0]) if arguments.beam else ("trivial", _TERMINAL[1])

    with tempfile.TemporaryDirectory(prefix="flexpack-load-") as folder:
        directory = Path(folder)
        (directory / "main.py").write_text(_ENTRY_FILES[kind])
        images = directory / "images.toml"
        images.write_text(
            '["load/image"]\nworkdir = "."\nenv = { FLEX_TEMPLATE_PYTHON_PY_FILE = "main.py" }\n'
        )
        data_dir = directory / "data"
        info = daemon.start_detached(port=0, storage_port=0, data_dir=data_dir, images=images)
        try:
            began = time.perf_counter()
            job_ids = launch_all(info.dataflow_port, arguments.launches, "load/image")
            accepted_sec = time.perf_counter() - began
            print(
                f"{len(job_ids)} launches accepted in {accepted_sec:.1f} s, "
                f"{resident_mib(info.pid):.0f} MiB resident",
                flush=True,
            )
            wait_for_end(info.dataflow_port, job_ids, wanted, arguments.timeout_sec)
            print(
                f"all {len(job_ids)} jobs {wanted} after {time.perf_counter() - began:.1f} s, "
                f"{resident_mib(info.pid):.0f} MiB resident"
            )
            for number in range(1, arguments.rounds + 1):
                done = poll(info.dataflow_port, job_ids, arguments.calls, arguments.connections)
                percentile_99 = statistics.quantiles(done.latencies_sec, n=100)[98]
                print(
                    f"round {number}: {done.calls} calls over {arguments.connections} connections "
                    f"in {done.wall_sec:.1f} s, {done.calls / done.wall_sec:,.0f}/s; median "
                    f"{1000 * statistics.median(done.latencies_sec):.1f} ms, 99th percentile "
                    f"{1000 * percentile_99:.1f} ms; {resident_mib(info.pid):.1f} MiB resident",
                    flush=True,
                )
        finally:
            daemon.stop(data_dir)


if __name__ == "__main__":
    main()
