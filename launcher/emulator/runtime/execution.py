"""What the executor is told: JSON lines on its standard input.

First how to prepare, when the launcher has not even begun; then, once there is one, the job; then,
if that is asked for, to drain it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class WorkerEnvironment:
    """What stands for the container image of a worker.

    ``stock`` hides from it everything that Beam's own images do not have.
    """

    python: str
    workdir: str
    env: Mapping[str, str]
    stock: bool = False


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What to do ahead of the order: start a worker of the image that the job will likely have.

    ``umask`` is that of the workers; the executor's own keeps its files private.
    """

    run_dir: Path
    umask: int
    worker: WorkerEnvironment | None

    def to_line(self) -> bytes:
        return _to_line(self)

    @classmethod
    def from_line(cls, line: bytes) -> Preparation:
        record = json.loads(line)
        worker = record["worker"]
        return cls(
            run_dir=Path(record["run_dir"]),
            umask=record["umask"],
            worker=WorkerEnvironment(**worker) if worker else None,
        )


@dataclass(frozen=True, kw_only=True)
class ExecutionOrder:
    """A job to execute.

    Attributes:
        run_dir: the job's folder, with the files below; the workers' output goes there.
        options: the pipeline options, as the job carries them.
        workers: environments by container image.
        num_workers: how many SDK workers share the work.
        pubsub_host: address of the Pub/Sub that a streaming job reads and writes; a batch job has
            none.
    """

    run_dir: Path
    options: Mapping[str, Any]
    workers: Mapping[str, WorkerEnvironment]
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

    def to_line(self) -> bytes:
        return _to_line(self)

    @classmethod
    def from_line(cls, line: bytes) -> ExecutionOrder:
        record = json.loads(line)
        return cls(
            run_dir=Path(record["run_dir"]),
            options=record["options"],
            workers={
                image: WorkerEnvironment(**worker) for image, worker in record["workers"].items()
            },
            num_workers=record["num_workers"],
            pubsub_host=record["pubsub_host"],
        )


@dataclass(frozen=True)
class Drain:
    """Take no more messages, and end with those that are there."""

    def to_line(self) -> bytes:
        return _to_line(self)


def _to_line(record: Preparation | ExecutionOrder | Drain) -> bytes:
    return json.dumps(dataclasses.asdict(record), default=str).encode() + b"\n"
