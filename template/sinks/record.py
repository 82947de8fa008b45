"""The record of a run, ``<output>-run.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from template.dead_letters import utf8
from template.file_versions import FileVersion
from template.sinks.start import RunStart
from template.sinks.writers import WrittenFile
from template.sources.inputs import InputFiles
from template.verdict import RunCounts

_SHOWN_REASONS = 100


@dataclass(frozen=True, kw_only=True)
class LaunchFacts:
    """The facts about a run at its launch.

    Attributes:
        job_name: of the Dataflow job; None without one.
        template: name of the template.
        version: of the template's code.
        image: the workers' image, as the launch named it; None without one.
        parameters: the template's, with their defaults.
        time: the launch's.
    """

    job_name: str | None = None
    template: str = "batch"
    version: str = ""
    image: str | None = None
    parameters: Mapping[str, Any]
    time: datetime


@dataclass(frozen=True, kw_only=True)
class WrittenOutput:
    """A file at its place."""

    path: str
    written: WrittenFile

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table by name, in Parquet with their types."""
        return self.written.columns


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The record of a run, written when its files are in their places.

    ``verdict`` is the reason for a failure, or None.
    """

    facts: LaunchFacts
    start: RunStart
    finished: datetime
    inputs: InputFiles
    counts: RunCounts
    verdict: str | None
    predictions: Sequence[WrittenOutput]
    dead_letters: Sequence[WrittenOutput]

    def to_json(self) -> dict[str, Any]:
        """Return the record for JSON; paths that are not UTF-8 are escaped."""
        reasons = list(islice(self.counts.reasons.items(), _SHOWN_REASONS))
        image, _, digest = (self.facts.image or "").partition("@")
        outputs = [
            *(_output("predictions", file) for file in self.predictions),
            *(_output("dead_letters", file) for file in self.dead_letters),
        ]
        record = {
            "run_id": self.start.run_id,
            "job_name": self.facts.job_name,
            "status": "FAILED" if self.verdict else "DONE",
            "verdict": self.verdict,
            "counts": {
                "rows_read": self.counts.rows_read,
                "predictions": self.counts.predictions,
                "dead_letters": self.counts.dead_letters,
                "unread_files": self.counts.unread_files,
            },
            "dead_letter_reasons": [
                {"reason": reason, "count": count} for reason, count in reasons
            ],
            "dead_letters_of_other_reasons": self.counts.dead_letters
            - sum(count for _, count in reasons),
            "times": {
                "launched": self.facts.time,
                "started": self.start.time,
                "finished": self.finished,
            },
            "template": {"name": self.facts.template, "version": self.facts.version},
            "image": {"reference": image or None, "digest": digest or None},
            "parameters": self.facts.parameters,
            "model": _version(self.start.model) if self.start.model else None,
            "input": {
                "file_count": self.inputs.count,
                "bytes": self.inputs.size,
                "files": [_version(file) for file in self.inputs.files],
                "files_not_listed": self.inputs.count - len(self.inputs.files),
            },
            "output_files": outputs,
        }
        cleaned: dict[str, Any] = _escape_all(record)
        return cleaned


def _output(kind: str, file: WrittenOutput) -> dict[str, Any]:
    record: dict[str, Any] = {"path": file.path, "kind": kind, "rows": file.written.rows}
    if file.columns:
        record["columns"] = list(file.columns)
    return record


def _version(file: FileVersion) -> dict[str, Any]:
    record = {"path": file.path, "size": file.size, "generation": file.generation}
    if file.sha256:
        record["sha256"] = file.sha256
    return record


def _escape_all(value: Any) -> Any:
    if isinstance(value, str):
        return utf8(value)
    if isinstance(value, Mapping):
        return {name: _escape_all(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_escape_all(each) for each in value]
    return value
