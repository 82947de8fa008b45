"""The results of a job: of a batch job, and its rows' outcome, from the record that it wrote.

A stream writes no record; without a topic its dead letters are files.

The record, ``<output>-run.json``, is described in ``template/README.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launcher.errors import FlexpackError
from launcher.google.storage import read_object
from launcher.jobs.dataflow import Dataflow
from launcher.jobs.records import Job

if TYPE_CHECKING:
    from google.cloud.storage import Client


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """The results of a run.

    Attributes:
        predictions: pattern of the files; None if there are none.
        dead_letters: pattern of the files; None if there are none.
        record: path of the run's record; None of a stream.
        reasons: the most frequent reasons of dead letters with their counts.
        unread_files: how many input files could not be read at all.
    """

    predictions: str | None
    dead_letters: str | None
    record: str | None
    reasons: tuple[tuple[str, int], ...] = ()
    unread_files: int = 0


def find_results(
    dataflow: Dataflow, job: Job, *, client: Client | None = None
) -> RunResults | None:
    """Return the results of a batch job that has ended, or a stream's files of dead letters.

    Blocks for up to two requests. None if it is not a job of the kit's templates, left no readable
    record, or its dead letters go to a topic.

    Raises:
        ServiceError: Dataflow refused, or was unreachable for too long.
    """
    environment = job.environment
    if environment is None or not environment.options:  # a summary may lack a part
        environment = dataflow.get(job.id, view="JOB_VIEW_ALL").environment
    options = environment.options if environment else {}
    if options.get("input_subscription") and options.get("output_topic"):
        return _find_letters_of_stream(options)
    output = options.get("output")
    if not isinstance(output, str) or not options.get("model_path"):
        return None
    path = f"{output}-run.json"
    try:
        text = (
            read_object(path, flag="--parameters output", client=client)
            if path.startswith("gs://")
            else Path(path).read_bytes()
        )
        record: dict[str, Any] = json.loads(text)
        return _parse(record, output, path) if _is_of(record, job) else None
    except (FlexpackError, OSError, ValueError, KeyError, TypeError):
        return None


def _find_letters_of_stream(options: Mapping[str, Any]) -> RunResults | None:
    """Return where ``template.options`` lets a stream write its dead letters."""
    prefix, temp_location = options.get("dead_letter_output"), options.get("temp_location")
    if options.get("dead_letter_topic"):
        return None
    if not prefix and temp_location:
        prefix = f"{temp_location.rstrip('/')}/dead-letters/letters"
    letters = f"{prefix}-*.jsonl" if prefix else None
    return RunResults(predictions=None, dead_letters=letters, record=None)


def _is_of(record: dict[str, Any], job: Job) -> bool:
    """Return whether a record is this job's: a job that fails early leaves an older one."""
    finished = datetime.fromisoformat(record["times"]["finished"])
    return record["job_name"] == job.name and (
        job.create_time is None or finished >= job.create_time
    )


def _parse(record: dict[str, Any], output: str, path: str) -> RunResults:
    files = {file["kind"]: file["path"] for file in record["output_files"]}
    suffix = str(files.get("predictions", "")).rpartition(".")[2]
    return RunResults(
        predictions=f"{output}-?????-of-?????.{suffix}" if "predictions" in files else None,
        dead_letters=f"{output}-errors-*.jsonl" if "dead_letters" in files else None,
        record=path,
        reasons=tuple((each["reason"], each["count"]) for each in record["dead_letter_reasons"]),
        unread_files=int(record["counts"]["unread_files"]),
    )
