"""The executor process's input: JSON lines on its standard input.

First a ``Preparation``, before the launcher has even begun; then, once there is a job, its
``Execution``; then ``Drain``, if somebody drains the job. Standard library only: the executor
process shares this module.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class WorkerCommand:
    """How to start a worker of a container image: its interpreter, directory and variables.

    ``modules`` are those that it imports ahead of the job, if it has them.
    """

    python: str
    workdir: str
    process_env: Mapping[str, str]
    modules: Sequence[str] = ()

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> WorkerCommand:
        return cls(**{**record, "modules": tuple(record["modules"])})


@dataclass(frozen=True, kw_only=True)
class _Line:
    def to_line(self) -> bytes:
        return json.dumps(dataclasses.asdict(self), default=str).encode() + b"\n"


@dataclass(frozen=True, kw_only=True)
class Preparation(_Line):
    """Work ahead of the job: start workers of the image that it will probably have.

    ``umask`` is that of the workers; the executor's own keeps its files private. ``is_warm``: a
    warm parent may fork them.
    """

    run_dir: Path
    umask: int
    worker: WorkerCommand | None
    num_workers: int = 1
    is_warm: bool = False

    @classmethod
    def from_line(cls, line: bytes) -> Preparation:
        record = json.loads(line)
        worker = record["worker"]
        return cls(
            run_dir=Path(record["run_dir"]),
            umask=record["umask"],
            worker=WorkerCommand.from_record(worker) if worker else None,
            num_workers=record["num_workers"],
            is_warm=record["is_warm"],
        )


@dataclass(frozen=True, kw_only=True)
class Execution(_Line):
    """A job to execute.

    Attributes:
        run_dir: the job's folder, with the files below; the workers' output goes there.
        options: the pipeline options, as the job carries them.
        workers: the command for workers, by container image.
        num_workers: the number of SDK workers that share the work.
        pubsub_host: address of the Pub/Sub that a streaming job reads and writes; None for a
            batch job.
    """

    run_dir: Path
    options: Mapping[str, Any]
    workers: Mapping[str, WorkerCommand]
    num_workers: int
    pubsub_host: str | None = None

    @property
    def streaming(self) -> bool:
        return self.pubsub_host is not None

    @property
    def pipeline_file(self) -> Path:
        """The pipeline proto."""
        return self.run_dir / "pipeline.pb"

    @property
    def packages_dir(self) -> Path:
        """The packages of the workers, where the SDK harness looks for them."""
        return self.run_dir / "staged"

    @classmethod
    def from_line(cls, line: bytes) -> Execution:
        record = json.loads(line)
        workers = {
            image: WorkerCommand.from_record(each) for image, each in record.pop("workers").items()
        }
        return cls(**record | {"run_dir": Path(record["run_dir"]), "workers": workers})


@dataclass(frozen=True, kw_only=True)
class Drain(_Line):
    """Take no more messages, and end after those already taken."""
