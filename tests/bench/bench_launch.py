"""Measures a launch on the local Dataflow and its parts, from ``flexpack run`` to the result.

``make bench-launch`` starts two local Dataflows, one that starts every
process of a job from scratch and one with a warm parent, and launches the batch template with 1,000
drawn images on them in turn. Each launch is ``flexpack run --wait`` in a separate process. Prints
the median of the parts, of the wall time and of the CPU seconds of everything that took part.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from launcher import Dataflow
from launcher.emulator import daemon
from launcher.jobs.records import JobMessage, MessageImportance
from template.demo.train import IMAGES_NAME, WEIGHTS_NAME, write_demo_files
from tests.processes import find_descendants
from tests.support import BIN, PROJECT, open_storage

_BUCKET = "flexpack-launch"
_SPEC = f"gs://{_BUCKET}/templates/batch.json"
_REGION = "us-central1"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Launch:
    """One launch, in seconds: wall times of its parts, and its CPU time."""

    accepted: float
    staged: float
    ran: float
    reported: float
    wall: float
    cpu: float


@dataclass(frozen=True)
class Place:
    """A local Dataflow, and the variables of its clients."""

    info: daemon.EmulatorInfo
    env: Mapping[str, str]

    @classmethod
    def start(cls, folder: Path, *, warm: bool, files: Path) -> Place:
        options = daemon.EmulatorOptions(port=0, storage_port=0, data_dir=folder, no_warm=not warm)
        info = daemon.start_detached(options)
        env = {**os.environ, **daemon.shell_variables(info, project=PROJECT)}
        bucket = open_storage(info).create_bucket(_BUCKET)
        for name in (IMAGES_NAME, WEIGHTS_NAME):
            bucket.blob(name).upload_from_filename(str(files / name))
        _flexpack("build", _SPEC, "--template=batch", "--image=local/flexpack", env=env)
        return cls(info, env)

    def launch(self, name: str) -> Launch:
        """Launch once, and wait for the result."""
        cpu = self._cpu_sec()
        began = time.time()
        _flexpack(
            *("run", name, f"--template-file-gcs-location={_SPEC}", "--wait"),
            f"--staging-location=gs://{_BUCKET}/staging",
            f"--parameters=input=gs://{_BUCKET}/{IMAGES_NAME}",
            f"--parameters=model_path=gs://{_BUCKET}/{WEIGHTS_NAME}",
            f"--parameters=output=gs://{_BUCKET}/out/{name}",
            env=self.env,
        )
        ended = time.time()
        dataflow = Dataflow(PROJECT, _REGION, endpoint=self.info.dataflow_endpoint)
        (job,) = dataflow.list(name=name)
        messages = dataflow.messages(job.id, minimum_importance=MessageImportance.DETAILED)
        assert job.create_time
        assert job.current_state_time
        created, done = job.create_time.timestamp(), job.current_state_time.timestamp()
        staged = _time_of(messages, "Starting ")
        return Launch(
            accepted=created - began,
            staged=staged - created,
            ran=done - staged,
            reported=ended - done,
            wall=ended - began,
            cpu=self._cpu_sec() - cpu,
        )

    def _cpu_sec(self) -> float:
        """Return the CPU seconds of the service with all its processes, and of our commands.

        Forked processes count as children of the parent, and have ended by then.
        """
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        total = used.ru_utime + used.ru_stime
        for pid in (self.info.pid, *find_descendants(self.info.pid)):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15])) / _TICKS
        return total


def _time_of(messages: Sequence[JobMessage], prefix: str) -> float:
    times: list[datetime] = [
        message.time
        for message in messages
        if message.time and message.message_text.startswith(prefix)
    ]
    return min(times).timestamp()


def _flexpack(*arguments: str, env: Mapping[str, str]) -> None:
    done = subprocess.run(
        [str(BIN / "flexpack"), *arguments], env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"flexpack {' '.join(arguments)}\n{done.stdout}\n{done.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--launches", type=int, default=10, help="of each kind")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flexpack-launch-") as folder:
        write_demo_files(Path(folder, "files"))
        places: dict[str, Place] = {}
        launches: dict[str, list[Launch]] = {"cold": [], "warm": []}
        try:
            for kind in launches:
                place = Path(folder, kind)
                places[kind] = Place.start(place, warm=kind == "warm", files=Path(folder, "files"))
            first = places["warm"].launch("first")
            for number in range(arguments.launches):
                for kind, place in places.items():
                    launches[kind].append(place.launch(f"launch-{number}"))
        finally:
            for kind in launches:
                daemon.stop(Path(folder, kind))
    _show({"cold": launches["cold"], "first warm": [first], "warm": launches["warm"]})


def _show(launches: Mapping[str, Sequence[Launch]]) -> None:
    parts = {
        "accepted": "flexpack run, until the launch is accepted",
        "staged": "launcher, until the job is staged",
        "ran": "executor and workers, until it is DONE",
        "reported": "flexpack run, until it has shown the result",
        "wall": "all of it",
        "cpu": "CPU seconds of all processes",
    }
    print(f"{'median, seconds':46}" + "".join(f"{kind:>12}" for kind in launches))
    for part, title in parts.items():
        medians = [
            statistics.median(getattr(launch, part) for launch in of_kind)
            for of_kind in launches.values()
        ]
        print(f"{title:46}" + "".join(f"{median:12.2f}" for median in medians))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{len(launches['warm'])} launches of each kind, in turn; load average {load}")


if __name__ == "__main__":
    main()
