"""The resources of a rehearsal, and its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.errors import FlexpackError
from launcher.finding import Finding
from launcher.jobs.dataflow import Dataflow
from launcher.preflight.rehearsal.messages import LocalTopics

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

BUCKET = "rehearsal"
REPORT = "FLEXPACK_REHEARSAL_REPORT"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The resources of a rehearsal.

    Attributes:
        dataflow: client of the local Dataflow.
        bucket: an empty bucket in its Cloud Storage.
        topics: topics in its Pub/Sub; None if Google's emulator is not installed.
        messages: the payloads that a streaming job reads.
        report: the file in which the processes record what they did.
        python: the interpreter that has the image's packages.
        launch_limit_sec: how long the launcher may take.
        run_limit_sec: how long the sample may take after that.
    """

    dataflow: Dataflow
    bucket: Bucket
    topics: LocalTopics | None = None
    messages: Sequence[bytes] = ()
    report: Path
    python: Path
    launch_limit_sec: float = 120.0
    run_limit_sec: float = 300.0
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, kw_only=True)
class Played:
    """A finished rehearsal.

    Attributes:
        staged_after_sec: None if the launcher staged no job.
        has_sample: whether the job got a sample of its input.
        failure: why the job failed.
        replies: what a streaming job published.
    """

    job_id: str
    staged_after_sec: float | None
    has_sample: bool
    failure: FlexpackError | None
    replies: Sequence[bytes] = ()


@dataclass(frozen=True)
class Rehearsal:
    """The findings of a rehearsal, and its measurements in words."""

    findings: Sequence[Finding]
    figures: Sequence[str] = ()
