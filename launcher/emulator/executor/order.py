"""What the executor is told: one JSON line on its standard input."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class WorkerEnvironment:
    """How to start an SDK worker of one container image: command, directory, variables."""

    command: tuple[str, ...]
    workdir: str
    env: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ExecutionOrder:
    """A job to execute.

    Attributes:
        run_dir: the job's folder, with the files below; the workers' output goes there.
        options: the pipeline options, as the job carries them.
        workers: environments by container image.
        num_workers: how many SDK workers share the work.
    """

    run_dir: Path
    options: Mapping[str, Any]
    workers: Mapping[str, WorkerEnvironment]
    num_workers: int

    @property
    def pipeline_file(self) -> Path:
        """The pipeline proto."""
        return self.run_dir / "pipeline.pb"

    @property
    def packages_dir(self) -> Path:
        """The packages of the workers, where the SDK harness looks for them."""
        return self.run_dir / "staged"

    def to_line(self) -> bytes:
        return json.dumps(dataclasses.asdict(self), default=str).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> ExecutionOrder:
        record = json.loads(line)
        workers = {
            image: WorkerEnvironment(
                command=tuple(worker["command"]), workdir=worker["workdir"], env=worker["env"]
            )
            for image, worker in record["workers"].items()
        }
        return cls(
            run_dir=Path(record["run_dir"]),
            options=record["options"],
            workers=workers,
            num_workers=record["num_workers"],
        )
